#pragma once

#include <ferry/connect.h>
#include <ferry/server.h>
#include <ferry/testing/seeds.h>
#include <ferry/tls_context.h>

#include <memory>
#include <span>
#include <string>

namespace ferry::test {

/// What a scenario's connections run over.
enum class Carrier { tcp, unix_socket, tls, tls12, tls_unix };
inline constexpr Carrier kPlain[] = {Carrier::tcp, Carrier::unix_socket};
inline constexpr Carrier kEncrypted[] = {Carrier::tls, Carrier::tls12, Carrier::tls_unix};
inline constexpr Carrier kAll[] = {Carrier::tcp, Carrier::unix_socket, Carrier::tls, Carrier::tls12,
                                   Carrier::tls_unix};
const char* to_string(Carrier carrier);
bool encrypted(Carrier carrier);
/// Whether one direction can end before the other: TLS ends both.
bool half_closes(Carrier carrier);

/// Makes what all worlds of the process share: keys, certificates, contexts of TLS.
void prepare_carriers();

/// The contexts of that carrier, which must be an encrypted one. They resume no sessions.
std::shared_ptr<TlsContext> server_side(Carrier carrier);
std::shared_ptr<TlsContext> client_side(Carrier carrier);

/// The wraps of that carrier, for scenarios that make their connections themselves.
ProtocolWrap server_wrap(Carrier carrier);
ProtocolWrap client_wrap(Carrier carrier);

/// What follows the "@" of a unix socket's name, or the "/": on the real system another one each
/// time, since worlds lie beside each other there.
std::string unix_name(const testing::Trial& trial, const std::string& what);
/// A server of the trial's; null if none came about (which has been reported then). Tells the
/// trial where it is. Of `options` what goes for this carrier.
std::shared_ptr<Server> serve(testing::Trial& trial, Carrier carrier, ProtocolFactory factory,
                              ListenOptions options = {});
/// Connects to it.
Future<Connection<>> connect(testing::Trial& trial, Carrier carrier, const Server& server,
                             ProtocolFactory factory, ConnectOptions options = {});
/// The error with which that failed; empty if it did not.
std::error_code error_of(const Future<Connection<>>& connecting);
/// Closes it, and waits until all its connections are gone; those that are still there after ten
/// seconds are aborted.
void shut_down(testing::Trial& trial, const std::shared_ptr<Server>& server);

/// One scenario for each of the carriers: "echo over tls".
void add(std::vector<testing::Scenario>& all, const std::string& name,
         std::span<const Carrier> carriers, void (*play)(testing::Trial&, Carrier),
         testing::Troubles troubles = {});

}  // namespace ferry::test
