// ApiCall: one request to the API server; ApiClient::request, or a test's stand-in.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <functional>

#include "control/kubernetes/api_client.h"

namespace sluice::kube {

using ApiCall = std::function<boost::asio::awaitable<Response>(Request)>;

}  // namespace sluice::kube
