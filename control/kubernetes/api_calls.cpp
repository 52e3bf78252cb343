#include "control/kubernetes/api_calls.h"

#include <utility>

namespace sluice::kube {
namespace {

class ClientStream final : public ByteStream {
 public:
  explicit ClientStream(std::unique_ptr<ApiStream> stream) : stream_(std::move(stream)) {}
  boost::asio::awaitable<Piece> read() override { co_return co_await stream_->read(); }
  void close() override { stream_->close(); }

 private:
  std::unique_ptr<ApiStream> stream_;
};

class ClientCalls final : public ApiCalls {
 public:
  explicit ClientCalls(ApiClient& client) : client_(client) {}
  boost::asio::awaitable<Response> request(Request request) override {
    co_return co_await client_.request(std::move(request));
  }
  boost::asio::awaitable<OpenedBytes> open(StreamRequest request) override {
    Opened opened = co_await client_.stream(std::move(request));
    OpenedBytes result;
    result.response = std::move(opened.response);
    if (opened.stream) result.stream = std::make_unique<ClientStream>(std::move(opened.stream));
    co_return result;
  }

 private:
  ApiClient& client_;
};

}  // namespace

std::unique_ptr<ApiCalls> api_calls(ApiClient& client) {
  return std::make_unique<ClientCalls>(client);
}

}  // namespace sluice::kube
