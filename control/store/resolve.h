// resolve: addresses of a host, within a time.
// Purpose: getaddrinfo() has no time-out of its own; Asio runs it on a thread, and this does not
// wait longer than asked. Thread: the executor's. Errors: say which host, and what went wrong.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "proto/result.h"

namespace sluice::store {

boost::asio::awaitable<Result<std::vector<boost::asio::ip::tcp::endpoint>>> resolve(
    boost::asio::any_io_executor executor, std::string host, std::string port,
    std::chrono::milliseconds time);

}  // namespace sluice::store
