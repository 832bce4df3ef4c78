// getaddrinfo, getnameinfo and the resolver behind them. No test here asks a name server.

#include "loop_suite.h"

#include <netdb.h>
#include <netinet/in.h>

#include <latch>
#include <memory>
#include <string>
#include <vector>

namespace ferry::test {
namespace {

class Resolving : public LoopSuite {};
INSTANTIATE_TEST_SUITE_P(Worlds, Resolving, ::testing::ValuesIn(kWorlds), world_name);

/// What getaddrinfo(3) says when it is called here and now; its error, or the addresses as text.
std::string blocking(const ResolveQuery& query) {
  addrinfo hints{};
  hints.ai_family = query.family;
  hints.ai_socktype = query.type == 0 ? SOCK_STREAM : query.type;
  hints.ai_flags = query.flags;
  addrinfo* list = nullptr;
  const int error =
      ::getaddrinfo(query.host.empty() ? nullptr : query.host.c_str(),
                    query.service.empty() ? "0" : query.service.c_str(), &hints, &list);
  if (error != 0) return std::string("error: ") + ::gai_strerror(error);
  std::string text;
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    text += Address(entry->ai_addr, entry->ai_addrlen).to_string() + " ";
  }
  ::freeaddrinfo(list);
  return text;
}

std::string through_the_loop(EventLoop& loop, const ResolveQuery& query) {
  try {
    std::string text;
    for (const Address& address : loop.run_until_complete(loop.getaddrinfo(query))) {
      text += address.to_string() + " ";
    }
    return text;
  } catch (const ResolveError& e) {
    EXPECT_EQ(e.code().category(), resolver_category());
    return "error: " + e.code().message();
  }
}

TEST_P(Resolving, C0632_TheResultIsThatOfTheBlockingCall) {
  const ResolveQuery queries[] = {
      {.host = "127.0.0.1", .service = "80"},
      {.host = "127.0.0.1"},
      {.host = "::1", .service = "80"},
      {.host = "localhost", .service = "80"},
      {.host = "localhost", .service = "80", .family = AF_INET},
      {.host = "localhost", .service = "80", .type = SOCK_DGRAM},
      {.service = "80"},
      {.service = "80", .flags = AI_PASSIVE},
      {.service = "80", .family = AF_INET, .flags = AI_PASSIVE},
      {.host = "127.0.0.1", .service = "http"},
      {.host = "127.0.0.1", .service = "domain", .type = SOCK_DGRAM},
      {.host = "::1", .service = "80", .family = AF_INET},
      {.host = "127.0.0.1", .service = "80", .family = AF_INET6},
      {.host = "not-a-number", .service = "80", .flags = AI_NUMERICHOST},
      {.host = "127.0.0.1", .service = "no-such-service"},
      {.host = "127.0.0.1", .service = "80", .type = 99},
      {.host = "127.0.0.1", .service = "80", .family = 999},
  };
  for (const ResolveQuery& query : queries) {
    EXPECT_EQ(through_the_loop(loop(), query), blocking(query))
        << "host '" << query.host << "' service '" << query.service << "' family " << query.family
        << " type " << query.type << " flags " << query.flags;
  }
}

TEST_P(Resolving, AnErrorTellsCodeOperationAndWhatWasAskedFor) {
  const Future<std::vector<Address>> future =
      loop().getaddrinfo({.host = "not-a-number", .service = "80", .flags = AI_NUMERICHOST});
  try {
    loop().run_until_complete(future);
    FAIL() << "it did not throw";
  } catch (const IoError& e) {
    EXPECT_EQ(e.code(), std::error_code(EAI_NONAME, resolver_category()));
    EXPECT_STREQ(e.operation(), "resolve");
    EXPECT_EQ(std::string(e.what()),
              std::string("resolve not-a-number:80: ") + ::gai_strerror(EAI_NONAME));
  }
}

TEST_P(Resolving, TextTheCFunctionWouldMisreadIsRefused) {
  const auto code_of = [&](ResolveQuery query) {
    try {
      loop().run_until_complete(loop().getaddrinfo(query));
      return 0;
    } catch (const ResolveError& e) {
      return e.code().value();
    }
  };
  EXPECT_EQ(code_of({.host = std::string("127.0.0.1\0.evil", 15)}), EAI_NONAME);
  EXPECT_EQ(code_of({.host = "127.0.0.1", .service = std::string("80\0", 3)}), EAI_SERVICE);
  EXPECT_EQ(code_of({.host = "127.0.0.1", .service = "65536"}), EAI_SERVICE);
  EXPECT_EQ(code_of({.host = "127.0.0.1", .service = "99999999999999999999"}), EAI_SERVICE);
}

TEST(ResolveNumeric, NumbersNeedNoLookUp) {
  const auto text = [](const ResolveQuery& query) {
    std::string all;
    for (const Address& address : resolve_numeric(query)) all += address.to_string();
    return all;
  };
  EXPECT_EQ(text({.host = "127.0.0.1", .service = "80"}), "127.0.0.1:80");
  EXPECT_EQ(text({.host = "127.0.0.1"}), "127.0.0.1:0");
  EXPECT_EQ(text({.host = "::1", .service = "65535"}), "[::1]:65535");
  EXPECT_EQ(text({.host = "1.2.3.4", .service = "5", .family = AF_INET}), "1.2.3.4:5");
  EXPECT_EQ(text({.host = "1.2.3.4", .service = "5", .type = SOCK_DGRAM}), "1.2.3.4:5");
  EXPECT_EQ(text({.host = "1.2.3.4", .service = "5", .protocol = IPPROTO_TCP}), "1.2.3.4:5");
  // All these do, or are wrong, which is for the resolver to say.
  EXPECT_EQ(text({.service = "80"}), "");
  EXPECT_EQ(text({.host = "localhost", .service = "80"}), "");
  EXPECT_EQ(text({.host = "127.0.0.1", .service = "http"}), "");
  EXPECT_EQ(text({.host = "127.0.0.1", .service = "65536"}), "");
  EXPECT_EQ(text({.host = "127.0.0.1", .service = "-1"}), "");
  EXPECT_EQ(text({.host = "fe80::1%lo", .service = "80"}), "");
  EXPECT_EQ(text({.host = "[::1]", .service = "80"}), "");
  EXPECT_EQ(text({.host = "1.2.3.4", .family = AF_INET6}), "");
  EXPECT_EQ(text({.host = "::1", .family = AF_INET}), "");
  EXPECT_EQ(text({.host = "1.2.3.4", .type = SOCK_RAW}), "");
  EXPECT_EQ(text({.host = "1.2.3.4", .protocol = IPPROTO_UDP}), "");
  EXPECT_EQ(text({.host = "1.2.3", .service = "80"}), "");
}

TEST_P(Resolving, NumericQueriesAreAnsweredAtOnceWithoutTheResolver) {
  class Never final : public Resolver {
    Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery&) override {
      ADD_FAILURE() << "asked for a number";
      return Future<std::vector<Address>>(loop);
    }
  };
  loop().set_resolver(std::make_shared<Never>());
  const auto future = loop().getaddrinfo({.host = "::1", .service = "443"});
  ASSERT_TRUE(future.done());
  ASSERT_EQ(future.result().size(), 1U);
  EXPECT_EQ(future.result()[0].to_string(), "[::1]:443");
}

TEST_P(Resolving, AScopedAddressIsResolvedWithItsScope) {
  const auto found =
      loop().run_until_complete(loop().getaddrinfo({.host = "fe80::1%lo", .service = "80"}));
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0], *Address::ip("fe80::1%lo", 80));
  // No name server is asked for what can only be a scoped number.
  EXPECT_THROW(loop().run_until_complete(loop().getaddrinfo({.host = "fe80::1%no-such-interface"})),
               ResolveError);
  EXPECT_THROW(loop().run_until_complete(loop().getaddrinfo({.host = "name%lo"})), ResolveError);
}

TEST_P(Resolving, AResolverOfTheUsersIsAskedAndMayAnswerLater) {
  class Book final : public Resolver {
   public:
    Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery& query) override {
      Future<std::vector<Address>> future(loop);
      asked.push_back(query.host);
      loop.call_later(5ms, [future] {
        future.try_set_result(std::vector<Address>{Address::loopback(1), Address::loopback(2)});
      });
      return future;
    }
    std::vector<std::string> asked;
  };
  const auto book = std::make_shared<Book>();
  loop().set_resolver(book);
  const auto found = loop().run_until_complete(loop().getaddrinfo({.host = "tea.example"}));
  EXPECT_EQ(book->asked, std::vector<std::string>{"tea.example"});
  EXPECT_EQ(found, (std::vector<Address>{Address::loopback(1), Address::loopback(2)}));

  loop().set_resolver(nullptr);
  EXPECT_NO_THROW(
      loop().run_until_complete(loop().getaddrinfo({.service = "80", .flags = AI_PASSIVE})));
  EXPECT_EQ(book->asked.size(), 1U);
}

TEST_P(Resolving, ACancelledLookUpIsDetached) {
  const auto future = loop().getaddrinfo({.service = "80"});
  EXPECT_FALSE(future.done());
  EXPECT_EQ(loop().stats().jobs, 1U);
  EXPECT_TRUE(future.cancel());
  EXPECT_EQ(loop().stats().jobs, 0U);
  tick();
  EXPECT_TRUE(future.cancelled());
}

TEST_P(Resolving, C0634_ClosingTheLoopDuringALookUpIsClean) {
  for (int i = 0; i < 20; ++i) {
    EventLoop other(make_kernel(GetParam()));
    const auto future = other.getaddrinfo({.host = "localhost", .service = "80"});
    other.close();
    EXPECT_FALSE(future.done());
    EXPECT_THROW(other.getaddrinfo({.host = "127.0.0.1"}).done(), std::logic_error);
  }
}

TEST_P(Resolving, OneSystemResolverMayServeTwoLoops) {
  const std::shared_ptr<Resolver> shared = make_system_resolver(1);
  loop().set_resolver(shared);
  EventLoop other(make_kernel(GetParam()));
  other.set_resolver(shared);
  const ResolveQuery query{.service = "7", .family = AF_INET};
  const auto here = loop().run_until_complete(loop().getaddrinfo(query));
  const auto there = other.run_until_complete(other.getaddrinfo(query));
  EXPECT_EQ(here, there);
  EXPECT_EQ(here.at(0), Address::loopback(7));
}

TEST_P(Resolving, C0633_GetnameinfoGivesNumbersAndNamesAndErrors) {
  const Address address = Address::loopback(80);
  const auto numbers =
      loop().run_until_complete(loop().getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV));
  EXPECT_EQ(numbers.host, "127.0.0.1");
  EXPECT_EQ(numbers.service, "80");

  char service[NI_MAXSERV];
  sockaddr_storage storage{};
  const socklen_t length = address.to_sockaddr(storage);
  ASSERT_EQ(::getnameinfo(reinterpret_cast<sockaddr*>(&storage), length, nullptr, 0, service,
                          sizeof service, 0),
            0);
  EXPECT_EQ(loop().run_until_complete(loop().getnameinfo(address, NI_NUMERICHOST)).service,
            service);

  try {
    loop().run_until_complete(loop().getnameinfo(Address{}));
    FAIL() << "it did not throw";
  } catch (const ResolveError& e) {
    EXPECT_EQ(e.code(), std::error_code(EAI_FAMILY, resolver_category()));
  }
}

TEST_P(Resolving, InDebugASlowLookUpIsLogged) {
  class Slow final : public Resolver {
    Future<std::vector<Address>> resolve(EventLoop& loop, const ResolveQuery&) override {
      Future<std::vector<Address>> future(loop);
      loop.call_later(30ms,
                      [future] { future.set_result(std::vector<Address>{Address::loopback(1)}); });
      return future;
    }
  };
  loop().set_debug(true);
  loop().set_slow_callback_duration(20ms);
  loop().set_resolver(std::make_shared<Slow>());
  loop().run_until_complete(loop().getaddrinfo({.host = "slow.example", .service = "80"}));
  tick();
  EXPECT_EQ(take_log_about({"resolving slow.example:80 took "}).size(), 1U);
}

}  // namespace
}  // namespace ferry::test
