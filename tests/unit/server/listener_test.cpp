#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "dataplane/server/unix_listener.h"

namespace sluice {
namespace {

using testing::HasSubstr;
namespace fs = std::filesystem;

class ListenerTest : public testing::Test {
 protected:
  ListenerTest() {
    std::string name = fs::temp_directory_path() / "sluice-listener-XXXXXX";
    directory = ::mkdtemp(name.data());
    path = directory + "/a.sock";
  }
  ~ListenerTest() override { fs::remove_all(directory); }
  std::string directory, path;
};

TEST_F(ListenerTest, FileHasMode0660AndGoesWithIt) {
  const mode_t umask = ::umask(0);
  {
    Result<UnixListener> listener = UnixListener::open(path);
    ASSERT_TRUE(listener.ok()) << listener.error();
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_TRUE(S_ISSOCK(info.st_mode));
    EXPECT_EQ(info.st_mode & 0777, 0660u);
    EXPECT_EQ(listener->accept(), -1) << "nobody waits, and nothing blocks";
  }
  ::umask(umask);
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(ListenerTest, StaleFileIsReplaced) {
  const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strcpy(address.sun_path, path.c_str());
  ASSERT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(fd);  // As a killed process leaves it.
  ASSERT_TRUE(fs::exists(path));
  EXPECT_TRUE(UnixListener::open(path).ok());
}

TEST_F(ListenerTest, SocketInUseIsNotTouched) {
  Result<UnixListener> first = UnixListener::open(path);
  ASSERT_TRUE(first.ok());
  Result<UnixListener> second = UnixListener::open(path);
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.error(), HasSubstr("another process serves it"));
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(ListenerTest, OtherFilesAreNotTouched) {
  std::ofstream(path) << "precious";
  Result<UnixListener> listener = UnixListener::open(path);
  ASSERT_FALSE(listener.ok());
  EXPECT_THAT(listener.error(), HasSubstr("no socket"));
  std::string text;
  std::ifstream(path) >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(ListenerTest, SuccessorsFileSurvivesTheEndOfTheFirst) {
  auto first = std::make_unique<UnixListener>(std::move(*UnixListener::open(path)));
  fs::remove(path);
  Result<UnixListener> second = UnixListener::open(path);
  ASSERT_TRUE(second.ok());
  first.reset();
  EXPECT_TRUE(fs::exists(path));
}

TEST_F(ListenerTest, ImpossiblePathsAreRefusedWithWhatToDo) {
  Result<UnixListener> longer = UnixListener::open(directory + "/" + std::string(108, 'x'));
  ASSERT_FALSE(longer.ok());
  EXPECT_THAT(longer.error(), HasSubstr("set a shorter dataplane.socket"));
  EXPECT_FALSE(UnixListener::open("").ok());
  Result<UnixListener> nowhere = UnixListener::open(directory + "/none/a.sock");
  ASSERT_FALSE(nowhere.ok());
  EXPECT_THAT(nowhere.error(), HasSubstr("does its directory exist?"));
}

}  // namespace
}  // namespace sluice
