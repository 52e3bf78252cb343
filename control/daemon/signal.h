// Signal: wakes one waiting coroutine; notifications that come before it waits are not lost,
// several count as one. Ownership: the waiter's. Thread: the executor's.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>
#include <utility>

namespace sluice {

class Signal {
 public:
  explicit Signal(boost::asio::any_io_executor executor) : timer_(std::move(executor)) {}

  void notify() {
    set_ = true;
    timer_.cancel();
  }
  // Until notified, or `timeout` has passed.
  boost::asio::awaitable<void> wait(std::chrono::milliseconds timeout) {
    if (!set_) co_await sleep(timeout);
    set_ = false;
  }
  // `time`, cut short by notify(), which still counts for the next wait().
  boost::asio::awaitable<void> sleep(std::chrono::milliseconds time) {
    timer_.expires_after(time);
    boost::system::error_code ignored;
    co_await timer_.async_wait(boost::asio::redirect_error(boost::asio::use_awaitable, ignored));
  }

 private:
  boost::asio::steady_timer timer_;
  bool set_ = false;
};

}  // namespace sluice
