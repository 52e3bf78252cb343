#include "control/store/resolve.h"

#include <boost/asio/ip/address.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <charconv>
#include <memory>
#include <utility>

namespace sluice::store {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

namespace {

// Shared with a resolver that may end long after nobody waits for it any more.
struct Resolution {
  explicit Resolution(const asio::any_io_executor& executor)
      : resolver(executor), timer(executor) {}
  tcp::resolver resolver;
  asio::steady_timer timer;
  bool done = false;
  error_code error;
  std::vector<tcp::endpoint> found;
};

}  // namespace

asio::awaitable<Result<std::vector<tcp::endpoint>>> resolve(asio::any_io_executor executor,
                                                            std::string host, std::string port,
                                                            std::chrono::milliseconds time) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (!error) {
    std::uint16_t number = 0;
    std::from_chars(port.data(), port.data() + port.size(), number);
    std::vector<tcp::endpoint> one;
    one.emplace_back(address, number);
    co_return one;
  }
  auto state = std::make_shared<Resolution>(executor);
  state->timer.expires_after(time);
  state->resolver.async_resolve(
      host, port, [state](error_code failed, const tcp::resolver::results_type& results) {
        state->done = true;
        state->error = failed;
        for (const auto& result : results) state->found.push_back(result.endpoint());
        state->timer.cancel();
      });
  co_await state->timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
  if (!state->done) {
    state->resolver.cancel();
    co_return Error{"cannot resolve \"" + host + "\": no answer within " +
                    std::to_string(time.count()) + " ms"};
  }
  if (state->error) {
    co_return Error{"cannot resolve \"" + host + "\": " + state->error.message()};
  }
  co_return std::move(state->found);
}

}  // namespace sluice::store
