// Numbers the lines of standard input: pipe < FILE does not work (a file is always ready, there is
// nothing to wait for), but something | pipe does, and a terminal.
#include <ferry/net.h>

#include <cstdio>
#include <string>

#include <unistd.h>

/// Lines come in by one pipe and go out by another; whoever reads them slowly slows us down, too.
class Numberer : public ferry::Protocol {
 public:
  explicit Numberer(ferry::EventLoop& loop) : ended_(loop) {}

  void connection_made(std::shared_ptr<ferry::Transport> transport) override {
    input_ = std::move(transport);
  }
  void data_received(ferry::BytesView data) override {
    for (const char c : data.text()) {
      if (at_start_) output_->write(std::to_string(++line_) + "\t");
      output_->write(ferry::BytesView(std::string_view(&c, 1)));
      at_start_ = c == '\n';
    }
  }
  void connection_lost(std::error_code) override { output_->write_eof(); }

  /// The protocol of the other pipe.
  class Output : public ferry::Protocol {
   public:
    explicit Output(std::shared_ptr<Numberer> numberer) : numberer_(std::move(numberer)) {}
    void connection_made(std::shared_ptr<ferry::Transport> transport) override {
      numberer_->output_ = std::move(transport);
    }
    void pause_writing() override { numberer_->input_->pause_reading(); }
    void resume_writing() override { numberer_->input_->resume_reading(); }
    void connection_lost(std::error_code) override { numberer_->ended_.try_set_result(); }

   private:
    std::shared_ptr<Numberer> numberer_;
  };
  ferry::Future<void> ended() const { return ended_; }

 private:
  std::shared_ptr<ferry::Transport> input_;
  std::shared_ptr<ferry::Transport> output_;
  ferry::Future<void> ended_;
  bool at_start_ = true;
  int line_ = 0;
};

int main() try {
  ferry::EventLoop loop;
  auto numberer = std::make_shared<Numberer>(loop);
  loop.run_until_complete(ferry::connect_write_pipe(
      loop, [&] { return std::make_shared<Numberer::Output>(numberer); }, STDOUT_FILENO));
  loop.run_until_complete(ferry::connect_read_pipe(
      loop, [&] { return numberer; }, STDIN_FILENO));
  loop.run_until_complete(numberer->ended());
} catch (const std::exception& error) {
  std::fprintf(stderr, "pipe: %s\n", error.what());
  return 1;
}
