// Where the server is and who we are: pods' files and kubeconfigs.
#include "control/kubernetes/credentials.h"

#include "client_fixture.h"

namespace sluice::kube {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public ClientTest {
 protected:
  std::string config(const std::string& cluster, const std::string& user) {
    return file("config",
                "apiVersion: v1\nkind: Config\ncurrent-context: main\ncontexts:\n"
                "- name: main\n  context: {cluster: c, user: u, namespace: ns}\n"
                "- name: other\n  context: {cluster: missing, user: u}\n"
                "clusters:\n- name: c\n  cluster:\n" +
                    cluster + "users:\n- name: u\n  user:\n" + user);
  }
  std::string error(const std::string& cluster, const std::string& user) {
    const auto access = kubeconfig_access(config(cluster, user));
    return access ? "" : access.error();
  }
  const std::string kServer = "    server: https://10.0.0.1:6443\n";
};

TEST_F(CredentialsTest, InCluster) {
  InClusterPlaces places{folder_, "10.96.0.1", "443"};
  auto access = in_cluster_access(places);
  ASSERT_FALSE(access.ok());
  EXPECT_THAT(access.error(), HasSubstr("/token"));
  file("token", "abc\n");
  file("ca.crt", authority_.certificate);
  file("namespace", "sluice");
  access = in_cluster_access(places);
  ASSERT_TRUE(access.ok()) << access.error();
  EXPECT_EQ(access->url(), "https://10.96.0.1:443");
  EXPECT_EQ(access->default_namespace, "sluice");
  Credentials credentials(*access);
  const auto now = Credentials::Clock::now();
  EXPECT_EQ(*credentials.token(now), "abc");
  EXPECT_EQ(credentials.tls(now)->ca, authority_.certificate);
  places.host = "";
  EXPECT_THAT(in_cluster_access(places).error(), HasSubstr("KUBERNETES_SERVICE_HOST"));
  places.host = "fd00::1";
  EXPECT_EQ(in_cluster_access(places)->url(), "https://[fd00::1]:443");
}

TEST_F(CredentialsTest, ATokenIsReadAgain) {
  ServerAccess access;
  access.token_file = file("token", "one");
  Credentials credentials(access);
  auto now = Credentials::Clock::now();
  EXPECT_EQ(*credentials.token(now), "one");
  file("token", "two");
  EXPECT_EQ(*credentials.token(now + 5s), "one");
  EXPECT_EQ(*credentials.token(now + 11s), "two");
  EXPECT_FALSE(credentials.reread_token(now + 12s));
  file("token", "three");
  EXPECT_TRUE(credentials.reread_token(now + 12s));
  file("token", "");
  EXPECT_EQ(*credentials.token(now + 60s), "three") << "the last good one";
  std::filesystem::remove(access.token_file);
  EXPECT_EQ(*credentials.token(now + 120s), "three");
  Credentials later(access);
  EXPECT_THAT(later.token(now).error(), HasSubstr("token"));
  file("token", "a\r\nX: y");
  EXPECT_THAT(later.token(now).error(), HasSubstr("not a bearer token"));
}

TEST_F(CredentialsTest, CertificatesAreReadAgain) {
  ServerAccess access;
  access.ca.file = file("ca", "one");
  Credentials credentials(access);
  const auto now = Credentials::Clock::now();
  EXPECT_EQ(credentials.tls(now)->ca, "one");
  file("ca", "two");
  EXPECT_EQ(credentials.tls(now + 5s)->ca, "one");
  EXPECT_EQ(credentials.tls(now + 5s, true)->ca, "two");
  std::filesystem::remove(access.ca.file);
  EXPECT_EQ(credentials.tls(now + 60s)->ca, "two");
}

TEST_F(CredentialsTest, AKubeconfig) {
  file("ca.crt", "CA");
  const auto access = kubeconfig_access(
      config("    server: https://k8s.example/k8s/c-1/\n    certificate-authority: ca.crt\n"
             "    tls-server-name: api.example\n",
             "    client-certificate-data: aGVsbG8=\n    client-key-data: d29ybGQh\n"
             "    tokenFile: token\n"));
  ASSERT_TRUE(access.ok()) << access.error();
  EXPECT_EQ(access->url(), "https://k8s.example:443/k8s/c-1");
  EXPECT_EQ(access->ca.file, (folder_ / "ca.crt").string());
  EXPECT_EQ(access->tls_server_name, "api.example");
  EXPECT_EQ(access->client_certificate.text, "hello");
  EXPECT_EQ(access->client_key.text, "world!");
  EXPECT_EQ(access->token_file, (folder_ / "token").string());
  EXPECT_EQ(access->default_namespace, "ns");
  EXPECT_FALSE(access->skip_tls_verify);
  EXPECT_THAT(access->origin, HasSubstr("context main"));
}

TEST_F(CredentialsTest, Addresses) {
  const auto url = [&](const std::string& server) {
    const auto access = kubeconfig_access(config("    server: " + server + "\n", "    token: t\n"));
    return access ? access->url() + " " + access->host : access.error();
  };
  EXPECT_EQ(url("https://[2001:db8::1]:6443"), "https://[2001:db8::1]:6443 2001:db8::1");
  EXPECT_EQ(url("http://127.0.0.1:8001"), "http://127.0.0.1:8001 127.0.0.1");
  for (const char* bad : {"\"\"", "10.0.0.1:6443", "ftp://x", "https://", "https://u:p@x",
                          "https://x?y", "\"https://a b\"", "https://x:99999999"}) {
    EXPECT_THAT(url(bad), HasSubstr("server: ")) << bad;
  }
}

TEST_F(CredentialsTest, RefusalsSayWhereAndWhatToDo) {
  EXPECT_THAT(error(kServer, "    exec: {command: aws}\n"), HasSubstr("kubectl create token"));
  EXPECT_THAT(error(kServer, "    exec: {command: aws}\n"), HasSubstr("config:16:11: exec: "));
  EXPECT_THAT(error(kServer, "    auth-provider: {name: gcp}\n"),
              HasSubstr("kubectl create token"));
  EXPECT_THAT(error(kServer, "    username: admin\n    password: hidden\n"),
              testing::AllOf(HasSubstr("basic authentication"), Not(HasSubstr("hidden"))));
  EXPECT_THAT(error(kServer + "    proxy-url: http://proxy:3128\n", "    token: t\n"),
              HasSubstr("proxies are not supported"));
  EXPECT_THAT(error(kServer, "    client-certificate: x\n"), HasSubstr("one is missing"));
  EXPECT_THAT(error(kServer, "    client-certificate-data: '===='\n"), HasSubstr("not base64"));
  EXPECT_THAT(error(kServer, "    client-certificate-data: '!!!'\n"), HasSubstr("not base64"));
  EXPECT_THAT(error(kServer, "    token: \"a b\"\n"), HasSubstr("not a bearer token"));
  EXPECT_THAT(error("    insecure-skip-tls-verify: true\n", "    token: t\n"), HasSubstr("server"));
  EXPECT_THAT(kubeconfig_access(config(kServer, "    token: t\n"), "other").error(),
              HasSubstr("there is no cluster \"missing\""));
  EXPECT_THAT(kubeconfig_access(config(kServer, "    token: t\n"), "nobody").error(),
              HasSubstr("there is no context \"nobody\""));
  EXPECT_THAT(kubeconfig_access((folder_ / "missing").string()).error(), HasSubstr("missing"));
  EXPECT_THAT(kubeconfig_access(file("list", "- a\n")).error(), HasSubstr("not a kubeconfig"));
  EXPECT_FALSE(kubeconfig_access(file("none", "")).ok());
  EXPECT_FALSE(kubeconfig_access(file("odd", "contexts: 5\ncurrent-context: [x]\n")).ok());
  EXPECT_FALSE(kubeconfig_access(file("odd", "contexts: [5]\ncurrent-context: x\n")).ok());
}

TEST_F(CredentialsTest, SkippingVerificationIsTaken) {
  const auto access =
      kubeconfig_access(config(kServer + "    insecure-skip-tls-verify: true\n", "    token: t\n"));
  ASSERT_TRUE(access.ok()) << access.error();
  EXPECT_TRUE(access->skip_tls_verify);
}

}  // namespace
}  // namespace sluice::kube
