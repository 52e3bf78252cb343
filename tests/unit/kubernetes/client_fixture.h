// A client and the servers it talks to, on one io_context. Thread: one.
#pragma once

#include <gmock/gmock.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <exception>
#include <filesystem>
#include <fstream>
#include <optional>

#include "control/kubernetes/api_client.h"
#include "http_server.h"

namespace sluice::kube {

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "sluice-kube-XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
  }
  ~ClientTest() override { std::filesystem::remove_all(folder_); }

  // Runs the io_context until the coroutine has its result.
  template <typename T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    std::exception_ptr thrown;
    boost::asio::co_spawn(io_, std::move(work), [&](std::exception_ptr e, T value) {
      thrown = e;
      result = std::move(value);
    });
    io_.restart();
    while (!result) io_.run_one();
    if (thrown) std::rethrow_exception(thrown);
    return std::move(*result);
  }

  std::string file(const std::string& name, const std::string& text) {
    const std::string path = folder_ / name;
    // As kubelet does it: a whole new file in the old one's place.
    std::ofstream(path + ".new", std::ios::binary) << text;
    std::filesystem::rename(path + ".new", path);
    return path;
  }

  HttpServer& serve(HttpServer::Handler handler) {
    HttpServer::Options options;
    options.identity = identity_;
    return serve(std::move(options), std::move(handler));
  }
  HttpServer& serve(HttpServer::Options options, HttpServer::Handler handler) {
    server_ = std::make_unique<HttpServer>(io_, std::move(options), std::move(handler));
    return *server_;
  }
  // The access a right client has.
  ServerAccess access() const {
    ServerAccess access;
    access.host = "127.0.0.1";
    access.port = server_->port();
    access.ca.text = authority_.certificate;
    access.token = "secret";
    access.origin = "test";
    return access;
  }
  ApiClient& client(ServerAccess access, ApiClientOptions options = {}) {
    client_ = std::make_unique<ApiClient>(io_.get_executor(), std::move(access), options);
    return *client_;
  }
  ApiClient& client() { return client_ ? *client_ : client(access()); }
  Response get(const std::string& target = "/x") {
    Request request;
    request.target = target;
    return run(client().request(request));
  }

  boost::asio::io_context io_;
  std::filesystem::path folder_;
  testing_certificates::Identity authority_ = testing_certificates::make_authority();
  testing_certificates::Identity identity_ = testing_certificates::make_certificate(authority_);
  std::unique_ptr<HttpServer> server_;
  std::unique_ptr<ApiClient> client_;
};

}  // namespace sluice::kube
