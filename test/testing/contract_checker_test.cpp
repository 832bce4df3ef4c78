#include <ferry/testing/contract_checker.h>

#include <gtest/gtest.h>

namespace ferry::testing {
namespace {

using Sentences = std::vector<std::string>;

const std::error_code kOk;

/// Runs one callback or call from beginning to end.
void pass(ContractChecker::Scope scope) {
  static_cast<void>(scope);
}

TEST(ContractChecker, OrderlyLifeHasNoViolation) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.data(3));
  pass(c.write());
  pass(c.pause_writing());
  pass(c.pause_reading());
  pass(c.resume_writing());
  pass(c.resume_reading());
  pass(c.get_buffer());
  pass(c.data(1));
  pass(c.eof_received());
  pass(c.pause_writing());
  pass(c.resume_writing());
  pass(c.close());
  pass(c.connection_lost(kOk));
  EXPECT_EQ(c.final_violations(), Sentences{});
  EXPECT_TRUE(c.made());
  EXPECT_TRUE(c.eof());
  EXPECT_TRUE(c.lost());
}

TEST(ContractChecker, CallbackBeforeConnectionMade) {
  ContractChecker c;
  pass(c.data(1));
  EXPECT_EQ(c.violations(), Sentences{"data_received was called before connection_made"});
}

TEST(ContractChecker, ConnectionMadeTwice) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.connection_made());
  EXPECT_EQ(c.violations(), Sentences{"connection_made was called twice"});
}

TEST(ContractChecker, ConnectionLostTwice) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.connection_lost(kOk));
  pass(c.connection_lost(kOk));
  EXPECT_EQ(c.violations(), Sentences{"connection_lost was called after connection_lost"});
}

TEST(ContractChecker, ConnectionLostNever) {
  ContractChecker c;
  pass(c.connection_made());
  EXPECT_EQ(c.violations(), Sentences{});
  EXPECT_EQ(c.final_violations(), Sentences{"connection_lost never came"});
}

TEST(ContractChecker, AnythingAfterConnectionLost) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.connection_lost(kOk));
  pass(c.data(1));
  pass(c.eof_received());
  pass(c.pause_writing());
  pass(c.resume_writing());
  EXPECT_EQ(c.violations().size(), 4u);
  EXPECT_EQ(c.violations()[0], "data_received was called after connection_lost");
  EXPECT_EQ(c.violations()[2], "pause_writing was called after connection_lost");
}

TEST(ContractChecker, EofTwiceAndDataAfterEof) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.eof_received());
  pass(c.eof_received());
  pass(c.data(1));
  EXPECT_EQ(c.violations(), (Sentences{"eof_received was called after eof_received",
                                       "data_received was called after eof_received"}));
}

TEST(ContractChecker, EmptyData) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.data(0));
  EXPECT_EQ(c.violations(), Sentences{"data_received was called with no bytes"});
}

TEST(ContractChecker, DataWhileReadingIsPaused) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.pause_reading());
  pass(c.data(1));
  EXPECT_EQ(c.violations(), Sentences{"data_received was called while reading is paused"});
}

TEST(ContractChecker, DataAfterCloseOrAbort) {
  ContractChecker closed;
  pass(closed.connection_made());
  pass(closed.close());
  pass(closed.data(1));
  EXPECT_EQ(closed.violations(), Sentences{"data_received was called after close"});
  ContractChecker aborted;
  pass(aborted.connection_made());
  pass(aborted.abort());
  pass(aborted.eof_received());
  EXPECT_EQ(aborted.violations(), Sentences{"eof_received was called after abort"});
}

TEST(ContractChecker, PauseAndResumeTakeTurns) {
  ContractChecker c;
  pass(c.connection_made());
  pass(c.resume_writing());
  pass(c.pause_writing());
  pass(c.pause_writing());
  EXPECT_EQ(c.violations(), (Sentences{"resume_writing was called without pause_writing",
                                       "pause_writing was called twice without resume_writing"}));
}

TEST(ContractChecker, CallbackInsideTheProgramsOwnCall) {
  ContractChecker c;
  pass(c.connection_made());
  {
    const auto call = c.close();
    pass(c.connection_lost(kOk));
  }
  EXPECT_EQ(c.violations(), Sentences{"connection_lost was called inside close"});
}

TEST(ContractChecker, CallbackInsideAnotherCallback) {
  ContractChecker c;
  const auto made = c.connection_made();
  pass(c.data(1));
  EXPECT_EQ(c.violations(), Sentences{"data_received was called inside connection_made"});
}

TEST(ContractChecker, PauseWritingMayComeFromWriteInsideACallback) {
  ContractChecker c;
  const auto made = c.connection_made();
  {
    const auto write = c.write();
    pass(c.pause_writing());
  }
  EXPECT_EQ(c.violations(), Sentences{});
  const auto close = c.close();
  pass(c.resume_writing());
  EXPECT_EQ(c.violations(), Sentences{"resume_writing was called inside close"});
}

TEST(ContractChecker, PauseWritingComesFromNothingElse) {
  ContractChecker c;
  pass(c.connection_made());
  const auto call = c.call("write_eof");
  pass(c.pause_writing());
  EXPECT_EQ(c.violations(), Sentences{"pause_writing was called inside write_eof"});
}

TEST(ContractChecker, AdoptedConnectionWasMadeBefore) {
  ContractChecker c;
  c.adopt();
  pass(c.data(1));
  pass(c.connection_lost(kOk));
  EXPECT_EQ(c.final_violations(), Sentences{});
}

}  // namespace
}  // namespace ferry::testing
