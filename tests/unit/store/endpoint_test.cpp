#include "control/store/endpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

namespace sluice::store {
namespace {

using testing::HasSubstr;

TEST(Endpoint, TakesTheThreeForms) {
  EXPECT_EQ(parse_endpoint("unix:/run/redis.sock")->path, "/run/redis.sock");
  EXPECT_EQ(parse_endpoint("redis.example.net:6379")->host, "redis.example.net");
  EXPECT_EQ(parse_endpoint("127.0.0.1:1")->port, "1");
  EXPECT_EQ(parse_endpoint("[2001:db8::1]:6379")->host, "2001:db8::1");
}

TEST(Endpoint, SaysWhatIsExpected) {
  for (const char* text :
       {"", "localhost", ":6379", "localhost:", "localhost:0", "localhost:65536", "localhost:x",
        "2001:db8::1:6379", "[]:6379", "unix:", "unix:relative"}) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_THAT(endpoint.error(), HasSubstr("expected HOST:PORT, [IPv6]:PORT or unix:/path"));
  }
  EXPECT_THAT(parse_endpoint("unix:/" + std::string(200, 'a')).error(), HasSubstr("at most 107"));
}

class PasswordFile : public testing::Test {
 protected:
  PasswordFile() : path(testing::TempDir() + "sluice-password-" + std::to_string(::getpid())) {}
  ~PasswordFile() override { std::filesystem::remove(path); }
  void write(const std::string& text, ::mode_t mode) {
    std::ofstream(path) << text;
    ::chmod(path.c_str(), mode);
  }
  std::string path;
};

TEST_F(PasswordFile, FirstLineIsThePassword) {
  write("secret word\nmore\n", 0600);
  EXPECT_EQ(*read_password_file(path), "secret word");
}

TEST_F(PasswordFile, OthersMustNotReadIt) {
  write("secret\n", 0640);
  const auto password = read_password_file(path);
  ASSERT_FALSE(password);
  EXPECT_THAT(password.error(), HasSubstr("chmod 0600"));
  EXPECT_THAT(password.error(), testing::Not(HasSubstr("secret")));
}

TEST_F(PasswordFile, EmptyOrMissingIsAnError) {
  write("\n", 0600);
  EXPECT_FALSE(read_password_file(path));
  EXPECT_THAT(read_password_file(path + "-none").error(), HasSubstr("No such file"));
  EXPECT_FALSE(read_password_file("/tmp"));
}

TEST(ExplainError, GivesAdvice) {
  EXPECT_THAT(explain_error("SET", "NOPERM this user has no permissions"),
              HasSubstr("config/redis-acl.conf"));
  EXPECT_THAT(explain_error("SET", "OOM command not allowed"), HasSubstr("maxmemory"));
  EXPECT_EQ(explain_error("SET", "ERR syntax error"), "Redis refused SET: ERR syntax error");
}

TEST_F(PasswordFile, ForItsReaderAlone) {
  EXPECT_TRUE(is_private(0600, 1000, 1000));
  EXPECT_TRUE(is_private(0400, 0, 0));
  EXPECT_TRUE(is_private(0440, 0, 65532)) << "a Pod's Secret, by fsGroup";
  EXPECT_TRUE(is_private(0640, 0, 65532));
  EXPECT_FALSE(is_private(0640, 0, 0)) << "root needs no group";
  EXPECT_FALSE(is_private(0640, 1000, 1000));
  EXPECT_FALSE(is_private(0444, 0, 65532));
  EXPECT_FALSE(is_private(0660, 0, 65532)) << "who may write it could choose the password";
}

}  // namespace
}  // namespace sluice::store
