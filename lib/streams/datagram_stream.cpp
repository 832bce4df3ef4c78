#include <ferry/datagram_stream.h>

#include <ferry/await_future.h>

#include <cerrno>
#include <stdexcept>

namespace ferry {

namespace {

/// Passes what happens on the socket on to the stream.
class DatagramStreamProtocol final : public DatagramProtocol {
 public:
  explicit DatagramStreamProtocol(Ref<DatagramStreamState> state) : state_(std::move(state)) {}

  void connection_made(std::shared_ptr<DatagramTransport> transport) override {
    state_->connect(std::move(transport));
  }
  void datagram_received(BytesView data, const DatagramInfo& info) override {
    state_->receive(data, info);
  }
  void error_received(std::error_code error) override { state_->fail(error); }
  void connection_lost(std::error_code) override { state_->lose(); }
  void pause_writing() override { state_->pause(); }
  void resume_writing() override { state_->resume(); }

 private:
  const Ref<DatagramStreamState> state_;
};

}  // namespace

// -- what the protocol tells

void DatagramStreamState::connect(std::shared_ptr<DatagramTransport> transport) {
  transport_ = std::move(transport);
  if (closed_) transport_->abort();  // nobody waited for it
}

void DatagramStreamState::receive(BytesView data, const DatagramInfo& info) {
  inbox_.append(data, info);
  wake();
  steer();
}

void DatagramStreamState::fail(std::error_code error) {
  if (!error_) error_ = error;
  wake();
}

void DatagramStreamState::resume() {
  paused_writing_ = false;
  draining_.wake_all();
}

void DatagramStreamState::lose() {
  closed_ = lost_ = true;
  draining_.wake_all();
  ending_.wake_all();
  wake();
}

// -- what the stream does

void DatagramStreamState::close() {
  closed_ = true;
  if (transport_) transport_->close();
  // Not right here: the caller may be in the middle of anything.
  if (DatagramReceiveBase* const receive = ready_receive()) receive->wake();
}

/// The receive that waits, if it has what it waits for: it is to be woken.
DatagramReceiveBase* DatagramStreamState::ready_receive() {
  DatagramReceiveBase* const receive = receiving_;
  if (!receive || !receive->waiting() || receive->woken_ || !receive->satisfied()) return nullptr;
  receive->woken_ = true;
  return receive;
}

void DatagramStreamState::wake() {
  DatagramReceiveBase* const receive = ready_receive();
  if (!receive) return;
  // In a callback of the loop's the task goes on at once; from inside another task, which sends or
  // closes, it does not.
  if (TaskCore::current() || !receive->task()->loop().is_running()) {
    receive->wake();
  } else {
    receive->resume_now();
  }
}

void DatagramStreamState::steer() {
  if (!transport_) return;
  const bool wanted = receiving_ && !receiving_->woken_;
  if (!paused_reading_) {
    if (wanted || (inbox_.size() <= limits_.bytes && inbox_.count() <= limits_.count)) return;
    paused_reading_ = true;
    transport_->pause_reading();
  } else if (wanted ||
             (inbox_.size() <= limits_.bytes / 2 && inbox_.count() <= limits_.count / 2)) {
    paused_reading_ = false;
    transport_->resume_reading();
  }
}

void DatagramStreamState::tell_error() {
  if (!error_) return;
  throw IoError({std::exchange(error_, {}), "datagram", transport_->peername()});
}

void DatagramStreamState::throw_closed() const {
  throw IoError({system_error_code(EBADF), "datagram stream", {}});
}

// -- a receive

DatagramReceiveBase::~DatagramReceiveBase() {
  if (state_ && state_->receiving_ == this) state_->receiving_ = nullptr;
}

bool DatagramReceiveBase::satisfied() const noexcept {
  return !state_->inbox_.empty() || state_->error_ || state_->closed_;
}

bool DatagramReceiveBase::await_ready() const {
  if (state_->receiving_) {
    throw std::logic_error("DatagramStream: another task is receiving already");
  }
  return satisfied();
}

void DatagramReceiveBase::await_suspend(std::coroutine_handle<> coroutine) {
  state_->receiving_ = this;
  suspend(coroutine);
  state_->steer();
}

bool DatagramReceiveBase::cancel(std::string_view message) {
  if (woken_) return false;
  state_->receiving_ = nullptr;
  cancelled_with(message);
  wake();
  return true;
}

std::optional<DatagramView> DatagramReceiveBase::take() {
  if (state_->receiving_ == this) state_->receiving_ = nullptr;
  resumed();
  state_->tell_error();
  if (state_->inbox_.empty()) return std::nullopt;
  const DatagramView view = state_->inbox_.take();
  state_->steer();
  return view;
}

// -- the stream

DatagramStream::DatagramStream(Ref<DatagramStreamState> state)
    : owner_(new Owner(std::move(state))) {}

void DatagramStream::Drain::await_resume() {
  unlink();
  resumed();
  if (!state_->receiving_) state_->tell_error();
  if (state_->lost_) state_->throw_closed();
}

Coro<DatagramStream> open_datagram_stream(DatagramOptions options, ReceiveLimits limits) {
  const Ref<DatagramStreamState> state(new DatagramStreamState(limits));
  const DatagramStream stream(state);  // closes if this is cancelled
  Future<DatagramEndpoint<>> opening = create_datagram_endpoint(
      get_running_loop(),
      DatagramProtocolFactory([state] { return std::make_shared<DatagramStreamProtocol>(state); }),
      std::move(options));
  co_await opening;
  co_return stream;
}

}  // namespace ferry
