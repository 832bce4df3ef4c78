#include <ferry/error.h>

#include <gtest/gtest.h>

#include <cerrno>
#include <exception>
#include <iterator>
#include <set>
#include <string>
#include <type_traits>

#include <netdb.h>

namespace ferry {
namespace {

constexpr errc kAll[] = {errc::protocol_failed, errc::write_overflow, errc::cancelled,
                         errc::timed_out,       errc::loop_closed,    errc::no_address};

Error refused() {
  return {system_error_code(ECONNREFUSED), "connect", Address::loopback(80)};
}

TEST(ErrorCode, FerryCodesBelongToTheFerryCategory) {
  std::set<std::string> messages;
  for (const errc e : kAll) {
    const std::error_code code = e;
    EXPECT_TRUE(code);
    EXPECT_EQ(code.category(), ferry_category());
    EXPECT_EQ(code, e);
    EXPECT_EQ(make_error_code(e), code);
    EXPECT_EQ(code.message().find("nknown"), std::string::npos) << code;
    messages.insert(code.message());
  }
  EXPECT_EQ(messages.size(), std::size(kAll));
  EXPECT_STREQ(ferry_category().name(), "ferry");
  EXPECT_STREQ(resolver_category().name(), "resolver");
}

TEST(ErrorCode, AnUnknownNumberSaysSo) {
  EXPECT_EQ(std::error_code(99, ferry_category()).message(), "Unknown ferry error 99");
}

TEST(ErrorCode, SystemErrorsCompareEqualToStdErrc) {
  EXPECT_EQ(system_error_code(ECONNRESET), std::errc::connection_reset);
  EXPECT_EQ(system_error_code(EPIPE), std::errc::broken_pipe);
  EXPECT_EQ(system_error_code(ENOENT), std::errc::no_such_file_or_directory);
  EXPECT_NE(system_error_code(EPIPE), std::errc::connection_reset);
  EXPECT_EQ(system_error_code(EPIPE).category(), std::system_category());
  EXPECT_FALSE(system_error_code(0));
}

TEST(ErrorCode, OwnTimeoutAndCancellationCompareEqualToStdErrc) {
  EXPECT_EQ(make_error_code(errc::timed_out), std::errc::timed_out);
  EXPECT_EQ(make_error_code(errc::cancelled), std::errc::operation_canceled);
  EXPECT_NE(make_error_code(errc::loop_closed), std::errc::timed_out);
  EXPECT_NE(system_error_code(ETIMEDOUT), errc::timed_out);
  EXPECT_NE(make_error_code(errc::protocol_failed), std::errc::operation_not_permitted);
}

TEST(ErrorCode, ResolverCodesSpeakWithTheResolversWords) {
  const std::error_code code(EAI_NONAME, resolver_category());
  EXPECT_EQ(code.message(), ::gai_strerror(EAI_NONAME));
  EXPECT_NE(code, std::error_code(EAI_NONAME, std::system_category()));
  EXPECT_EQ(std::error_code(EAI_MEMORY, resolver_category()), std::errc::not_enough_memory);
  EXPECT_EQ(std::error_code(EAI_AGAIN, resolver_category()),
            std::errc::resource_unavailable_try_again);
}

TEST(Error, NoErrorIsFalseAndHasNoMessage) {
  const Error none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.message(), "");
  EXPECT_EQ((Error{{}, "connect", Address::loopback(1)}.message()), "");
}

TEST(Error, MessageTellsOperationAddressAndReason) {
  EXPECT_TRUE(refused());
  EXPECT_EQ(refused().message(), "connect to 127.0.0.1:80: Connection refused");
}

TEST(Error, MessageJoinsEachOperationWithItsOwnWord) {
  const Address peer = *Address::parse("[::1]:9");
  auto message = [&peer](const char* operation) {
    return Error{system_error_code(ECONNRESET), operation, peer}.message();
  };
  const std::string reason = "[::1]:9: Connection reset by peer";
  EXPECT_EQ(message("send"), "send to " + reason);
  EXPECT_EQ(message("sendmsg"), "sendmsg to " + reason);
  EXPECT_EQ(message("bind"), "bind to " + reason);
  EXPECT_EQ(message("recv"), "recv from " + reason);
  EXPECT_EQ(message("accept"), "accept on " + reason);
  EXPECT_EQ(message("listen"), "listen on " + reason);
  EXPECT_EQ(message("handshake"), "handshake with " + reason);
}

TEST(Error, MessageLeavesOutWhatIsNotKnown) {
  const std::error_code code = errc::timed_out;
  EXPECT_EQ((Error{code, "drain", {}}.message()), "drain: Timed out");
  EXPECT_EQ((Error{code, "", Address::loopback(5)}.message()), "127.0.0.1:5: Timed out");
  EXPECT_EQ((Error{code, "", {}}.message()), "Timed out");
  EXPECT_EQ((Error{code, nullptr, {}}.message()), "Timed out");
  EXPECT_EQ((Error{code, "recv", Address::unix_path("")}.message()), "recv: Timed out");
}

TEST(IoError, CarriesTheErrorAndItsMessage) {
  try {
    throw IoError(refused());
  } catch (const std::system_error& caught) {
    EXPECT_EQ(caught.code(), std::errc::connection_refused);
    EXPECT_STREQ(caught.what(), "connect to 127.0.0.1:80: Connection refused");
    const auto* error = dynamic_cast<const IoError*>(&caught);
    ASSERT_NE(error, nullptr);
    EXPECT_STREQ(error->operation(), "connect");
    EXPECT_EQ(error->address(), Address::loopback(80));
    EXPECT_EQ(error->error().code, caught.code());
  }
}

TEST(IoError, WhatIsTheBareReasonIfNothingElseIsKnown) {
  EXPECT_STREQ(IoError({errc::loop_closed, "", {}}).what(), "The event loop was closed");
}

TEST(TimeoutError, IsAnIoErrorThatTimedOut) {
  try {
    throw TimeoutError("connect", Address::loopback(443));
  } catch (const IoError& caught) {
    EXPECT_EQ(caught.code(), errc::timed_out);
    EXPECT_EQ(caught.code(), std::errc::timed_out);
    EXPECT_STREQ(caught.what(), "connect to 127.0.0.1:443: Timed out");
  }
  EXPECT_TRUE(TimeoutError("drain").address().empty());
}

TEST(CancelledError, IsNotSwallowedByHandlersOfStdException) {
  EXPECT_FALSE((std::is_base_of_v<std::exception, CancelledError>));
  bool cancelled = false;
  try {
    try {
      throw CancelledError("shutting down");
    } catch (const std::exception&) {
      FAIL() << "a cancellation must pass";
    }
  } catch (const CancelledError& caught) {
    cancelled = true;
    EXPECT_EQ(caught.message(), "shutting down");
  }
  EXPECT_TRUE(cancelled);
  EXPECT_EQ(CancelledError().message(), "");
}

TEST(InvalidStateError, IsALogicError) {
  EXPECT_THROW(throw InvalidStateError("no result yet"), std::logic_error);
  EXPECT_STREQ(InvalidStateError("no result yet").what(), "no result yet");
}

}  // namespace
}  // namespace ferry
