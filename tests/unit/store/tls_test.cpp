// TLS to a real redis-server: what is verified, and what is said when it does not fit.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "tests/unit/store/harness.h"

namespace sluice::store {
namespace {

using testing::HasSubstr;

// An authority and certificates of it, made by openssl, once for all tests.
class Certificates {
 public:
  Certificates() {
    std::string path = (std::filesystem::temp_directory_path() / "sluice-tls-XXXXXX").string();
    if (::mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = path;
    const std::string key = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";
    openssl("req -x509" + key + "-keyout ca.key -out ca.crt -days 2 -subj /CN=ca");
    openssl("req -x509" + key + "-keyout other.key -out other.crt -days 2 -subj /CN=other");
    make("server", "subjectAltName=DNS:redis.test,DNS:localhost", "-days 2");
    make("address", "subjectAltName=IP:127.0.0.1", "-days 2");
    make("client", "extendedKeyUsage=clientAuth", "-days 2");
    // It ended before it began: no clock finds it valid.
    make("expired", "subjectAltName=IP:127.0.0.1", "-days -1");
    openssl("ec -in client.key -aes128 -passout pass:secret -out locked.key");
  }
  ~Certificates() { std::filesystem::remove_all(folder_); }
  std::string file(const std::string& name) const { return folder_ + "/" + name; }

 private:
  void make(const std::string& name, const std::string& extension, const std::string& days) {
    openssl("req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout " + name +
            ".key -out " + name + ".csr -subj /CN=" + name);
    std::ofstream(file(name + ".ext")) << extension << "\n";
    openssl("x509 -req -in " + name + ".csr -CA ca.crt -CAkey ca.key -CAcreateserial -extfile " +
            name + ".ext -out " + name + ".crt " + days);
  }
  void openssl(const std::string& arguments) const {
    const std::string command =
        "cd " + folder_ + " && openssl " + arguments + " >openssl.log 2>&1 </dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error("openssl " + arguments);
  }
  std::string folder_;
};

class TlsTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { certificates = new Certificates; }
  static void TearDownTestSuite() {
    delete certificates;
    certificates = nullptr;
  }
  static std::string file(const std::string& name) { return certificates->file(name); }

  void serve(const std::string& certificate, const std::string& clients = "no") {
    port = test::free_port();
    plain_port = test::free_port();
    server = std::make_unique<test::RedisServer>(std::vector<std::string>{
        "--bind", "127.0.0.1", "--port", std::to_string(plain_port), "--tls-port",
        std::to_string(port), "--tls-cert-file", file(certificate + ".crt"), "--tls-key-file",
        file(certificate + ".key"), "--tls-ca-cert-file", file("ca.crt"), "--tls-auth-clients",
        clients});
  }
  RedisOptions options() const {
    RedisOptions o;
    o.address = "127.0.0.1:" + std::to_string(port);
    o.timeout = std::chrono::seconds(5);
    o.tls.enabled = true;
    o.tls.ca = file("ca.crt");
    return o;
  }
  template <typename T>
  T run(boost::asio::awaitable<T> work) {
    std::optional<T> result;
    boost::asio::co_spawn(
        io,
        [](boost::asio::awaitable<T> w, std::optional<T>* to) -> boost::asio::awaitable<void> {
          to->emplace(co_await std::move(w));
        }(std::move(work), &result),
        boost::asio::detached);
    io.restart();
    while (!result) io.run_one();
    return std::move(*result);
  }
  // The error, or what PING answers.
  std::string ping(RedisOptions how) {
    Redis redis(io.get_executor(), std::move(how));
    const Status connected = run(redis.connect());
    if (!connected) return connected.error();
    const RedisCommand command = {"PING"};
    const auto reply = run(redis.command(command));
    return reply ? reply->text : reply.error();
  }

  static Certificates* certificates;
  boost::asio::io_context io;
  std::unique_ptr<test::RedisServer> server;
  int port = 0;
  int plain_port = 0;
};
Certificates* TlsTest::certificates = nullptr;

TEST_F(TlsTest, ACertificateForTheAddressIsTaken) {
  serve("address");
  EXPECT_EQ(ping(options()), "PONG");
}

TEST_F(TlsTest, ANameIsVerified) {
  serve("server");
  EXPECT_THAT(ping(options()), HasSubstr("not for \"127.0.0.1\": set redis.tls.serverName"));
  RedisOptions named = options();
  named.tls.server_name = "redis.test";
  EXPECT_EQ(ping(named), "PONG");
  named.tls.server_name = "redis.example";
  EXPECT_THAT(ping(named), HasSubstr("not for \"redis.example\""));
  RedisOptions resolved = options();
  resolved.address = "localhost:" + std::to_string(port);
  EXPECT_EQ(ping(resolved), "PONG");
}

TEST_F(TlsTest, AnUnknownAuthorityIsRefused) {
  serve("address");
  RedisOptions other = options();
  other.tls.ca = file("other.crt");
  EXPECT_THAT(ping(other), HasSubstr("set redis.tls.ca"));
  other.tls.ca.clear();  // The system's.
  EXPECT_THAT(ping(other), HasSubstr("set redis.tls.ca"));
}

TEST_F(TlsTest, AnExpiredCertificateIsRefused) {
  serve("expired");
  EXPECT_THAT(ping(options()), HasSubstr("has expired"));
}

TEST_F(TlsTest, AClientCertificateIsShownWhereWanted) {
  serve("address", "yes");
  EXPECT_THAT(ping(options()), HasSubstr("redis.tls.certificate"));
  RedisOptions with = options();
  with.tls.certificate = file("client.crt");
  with.tls.key = file("client.key");
  EXPECT_EQ(ping(with), "PONG");
  with.tls.key = file("server.key");
  EXPECT_THAT(ping(with), HasSubstr("redis.tls.key"));
  with.tls.key = file("locked.key");
  EXPECT_THAT(ping(with), HasSubstr("redis.tls.key"));
}

TEST_F(TlsTest, FilesThatCannotBeReadAreNamed) {
  serve("address");
  RedisOptions bad = options();
  bad.tls.ca = file("none.crt");
  EXPECT_THAT(ping(bad), HasSubstr("redis.tls.ca " + file("none.crt")));
  bad.tls.ca = file("ca.key");
  EXPECT_THAT(ping(bad), HasSubstr("redis.tls.ca"));
  bad = options();
  bad.tls.certificate = "/dev/zero";
  bad.tls.key = file("client.key");
  EXPECT_THAT(ping(bad), HasSubstr("redis.tls.certificate /dev/zero"));
}

TEST_F(TlsTest, TheWrongPortIsTold) {
  serve("address");
  RedisOptions to_plain = options();
  to_plain.address = "127.0.0.1:" + std::to_string(plain_port);
  EXPECT_THAT(ping(to_plain), HasSubstr("TLS"));
  RedisOptions to_tls = options();
  to_tls.tls.enabled = false;
  EXPECT_THAT(ping(to_tls), HasSubstr("does it want TLS"));
}

TEST_F(TlsTest, LargeValuesAndPipelinesPass) {
  serve("address");
  Redis redis(io.get_executor(), options());
  ASSERT_TRUE(run(redis.connect()));
  const std::string value(300'000, 'x');
  std::vector<RedisCommand> commands;
  for (int i = 0; i < 40; ++i) commands.push_back({"SET", "k" + std::to_string(i), value});
  for (int i = 0; i < 40; ++i) commands.push_back({"GET", "k" + std::to_string(i)});
  const auto replies = run(redis.pipeline(std::move(commands)));
  ASSERT_TRUE(replies) << replies.error();
  for (std::size_t i = 40; i < 80; ++i) EXPECT_EQ((*replies)[i].text, value);
}

}  // namespace
}  // namespace sluice::store
