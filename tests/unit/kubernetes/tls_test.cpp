// Who the server is, and who the client is.
#include "client_fixture.h"

namespace sluice::kube {
namespace {

using namespace testing_certificates;
using testing::HasSubstr;

class TlsTest : public ClientTest {
 protected:
  HttpServer& serve_as(const Wish& wish) {
    identity_ = make_certificate(authority_, wish);
    return serve([](const SeenRequest&) { return Answer{{http_answer(200, "hello")}}; });
  }
};

TEST_F(TlsTest, ACertificateForTheAddressIsTrusted) {
  serve_as({});
  const Response response = get();
  EXPECT_TRUE(response.ok()) << response.error;
  EXPECT_EQ(response.body, "hello");
  EXPECT_TRUE(server_->requests()[0].has("\r\nAuthorization: Bearer secret\r\n"));
}

TEST_F(TlsTest, ACertificateForTheNameIsTrusted) {
  Wish wish;
  wish.names = "DNS:kubernetes.example";
  serve_as(wish);
  ServerAccess access_by_name = access();
  access_by_name.tls_server_name = "kubernetes.example";
  client(access_by_name);
  EXPECT_TRUE(get().ok());
}

TEST_F(TlsTest, AnotherNameIsRefusedAndNamed) {
  Wish wish;
  wish.names = "DNS:other.example,IP:192.0.2.1";
  serve_as(wish);
  Response response = get();
  EXPECT_EQ(response.failure, Failure::kTls);
  EXPECT_THAT(response.error, HasSubstr("is for DNS:other.example, IP Address:192.0.2.1, not for "
                                        "127.0.0.1"));
  ServerAccess by_name = access();
  by_name.host = "localhost";
  client(by_name);
  response = get();
  EXPECT_EQ(response.failure, Failure::kTls);
  EXPECT_THAT(response.error, HasSubstr("not for localhost"));
  EXPECT_TRUE(server_->requests().empty()) << "nothing may be sent to a stranger";
}

// As Go's clients: the subject is no name.
TEST_F(TlsTest, TheSubjectIsNoName) {
  Wish wish;
  wish.subject = "localhost";
  wish.names = "";
  serve_as(wish);
  ServerAccess by_name = access();
  by_name.host = "localhost";
  client(by_name);
  EXPECT_THAT(get().error, HasSubstr("is for no name, not for localhost"));
}

TEST_F(TlsTest, AnExpiredOneIsRefused) {
  Wish wish;
  wish.valid_from = -7200;
  wish.valid_to = -3600;
  serve_as(wish);
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kTls);
  EXPECT_THAT(response.error, HasSubstr("expired at"));
}

TEST_F(TlsTest, OneOfTomorrowIsRefused) {
  Wish wish;
  wish.valid_from = 3600;
  wish.valid_to = 7200;
  serve_as(wish);
  EXPECT_THAT(get().error, HasSubstr("clock"));
}

TEST_F(TlsTest, AnotherAuthorityIsRefused) {
  serve_as({});
  ServerAccess other = access();
  other.ca.text = make_authority("another").certificate;
  client(other);
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kTls);
  EXPECT_THAT(response.error, HasSubstr("not signed by the authority"));
}

TEST_F(TlsTest, UnverifiedIfSoConfigured) {
  Wish wish;
  wish.names = "DNS:other.example";
  serve_as(wish);
  ServerAccess careless = access();
  careless.skip_tls_verify = true;
  client(careless);
  EXPECT_TRUE(get().ok());
}

TEST_F(TlsTest, AServerWithoutTlsIsRefused) {
  HttpServer::Options options;
  options.tls = false;
  serve(options, [](const SeenRequest&) { return Answer{{http_answer(200, "x")}, {}, true}; });
  ServerAccess with_tls = access();
  client(with_tls, {.connect_timeout = std::chrono::milliseconds(500)});
  const Response response = get();
  EXPECT_THAT(response.failure, testing::AnyOf(Failure::kTls, Failure::kTimeout)) << response.error;
}

TEST_F(TlsTest, AClientCertificateIsShown) {
  HttpServer::Options options;
  options.identity = identity_;
  options.client_authority = authority_.certificate;
  serve(options, [](const SeenRequest&) { return Answer{{http_answer(200, "x")}}; });
  EXPECT_FALSE(get().ok()) << "without a certificate";
  const Identity me = make_certificate(authority_, {.subject = "agent"});
  ServerAccess with = access();
  with.client_certificate.text = me.certificate;
  with.client_key.text = me.key;
  client(with);
  const Response response = get();
  EXPECT_TRUE(response.ok()) << response.error;
}

TEST_F(TlsTest, AKeyOfAnotherCertificateIsNamed) {
  serve_as({});
  ServerAccess wrong = access();
  wrong.client_certificate.text = identity_.certificate;
  wrong.client_key.text = authority_.key;
  client(wrong);
  const Response response = get();
  EXPECT_EQ(response.failure, Failure::kCredentials);
  EXPECT_THAT(response.error, HasSubstr("client key"));
  EXPECT_THAT(response.error, testing::Not(HasSubstr("PRIVATE KEY")));
}

TEST_F(TlsTest, ARenewedAuthorityIsReadAtOnce) {
  ServerAccess by_file;
  serve_as({});
  by_file = access();
  by_file.ca = {"", file("ca.crt", authority_.certificate)};
  client(by_file);
  ASSERT_TRUE(get().ok());
  const Identity renewed = make_authority("renewed");
  file("ca.crt", renewed.certificate);
  server_->present(make_certificate(renewed));
  // The kept connection still serves; a stream needs a new one, and so the new authority.
  const Opened opened = run(client().stream({.target = "/watch"}));
  EXPECT_TRUE(opened.response.ok()) << opened.response.error;
}

TEST_F(TlsTest, ACaFileThatIsNoneIsNamed) {
  serve_as({});
  ServerAccess broken = access();
  broken.ca.text = "not a certificate";
  client(broken);
  Response response = get();
  EXPECT_EQ(response.failure, Failure::kCredentials);
  EXPECT_THAT(response.error, HasSubstr("CA certificate"));
  broken.ca = {"", (folder_ / "missing").string()};
  client(broken);
  response = get();
  EXPECT_EQ(response.failure, Failure::kCredentials);
  EXPECT_THAT(response.error, HasSubstr("missing"));
}

}  // namespace
}  // namespace sluice::kube
