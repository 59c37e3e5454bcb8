#include "bridge/signals.h"

#include <pthread.h>
#include <signal.h>

namespace switchback {
namespace {

sigset_t stop_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGUSR1);  // only ever sent by the destructor, to its own thread
  return signals;
}

}  // namespace

StopOnSignal::StopOnSignal() {
  const sigset_t signals = stop_signals();
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGPIPE, SIG_IGN);  // a peer that hangs up is an error of that write
  thread_ = std::jthread([this, signals] {
    ::pthread_setname_np(::pthread_self(), "signals");
    int which = 0;
    ::sigwait(&signals, &which);
    source_.request_stop();
  });
}

StopOnSignal::~StopOnSignal() {
  ::pthread_kill(thread_.native_handle(), SIGUSR1);
}

bool StopOnSignal::wait(std::chrono::milliseconds span) {
  std::unique_lock lock(mutex_);
  never_.wait_for(lock, source_.get_token(), span, [] { return false; });
  return !source_.stop_requested();
}

}  // namespace switchback
