// Two allocators at once over a real Redis under its ACL, killed at random and stalled between
// deciding and writing; everything in Redis is lost once. The history of the ledger must not show
// an address with two holders at any time.
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include "control/model/allocation.h"
#include "control/store/disk.h"
#include "tests/unit/store/harness.h"
#include "tests/unit/store/ledger_history.h"

namespace sluice::store {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kChanges = 10'000;  // Grants and releases together.
constexpr std::int64_t kHoldMs = 5;
constexpr auto kLease = 200ms;
constexpr auto kStall = 300ms;      // Longer than the lease: another leads then.
constexpr auto kRebuildWait = 20s;  // For the other's copy: it is alive, or will be.
constexpr int kServices = 120;
constexpr int kMinKills = 10;  // However fast the machine is.
const std::string kPassword = "test-password";

// What the allocators tell the test.
struct Counters {
  std::atomic<std::size_t> applied, refused, rebuilt;
};

std::int64_t unix_ms() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What there is to allocate, anew each time: Services come and go, some ask for an address, some
// share.
class Wishes {
 public:
  explicit Wishes(std::mt19937& random) : random_(random) {
    auto object = std::make_shared<v1::Object>();
    object->mutable_address_pool()->mutable_metadata()->set_name("p");
    object->mutable_address_pool()->mutable_spec()->add_addresses("192.0.2.0/25");
    object->mutable_address_pool()->mutable_spec()->add_addresses("2001:db8::/120");
    pools["p"] = object;
  }
  std::vector<AddressRequest> next() {
    std::vector<AddressRequest> wishes;
    for (int i = 0; i < kServices; ++i) {
      if (random_() % 2 == 0) continue;
      AddressRequest& wish = wishes.emplace_back();
      wish.service = {"manual", "default", "s" + std::to_string(i)};
      wish.uid = std::to_string(i);
      wish.families = {IpFamily::ipv4};
      if (i % 5 == 0) wish.families.push_back(IpFamily::ipv6);
      wish.policy = i % 10 == 0 ? FamilyPolicy::require_dual_stack : FamilyPolicy::single_stack;
      if (i % 3 == 0) wish.sharing_key = "k" + std::to_string(i % 12);
      if (i % 7 == 0) {
        wish.addresses = {*IpAddress::parse("192.0.2." + std::to_string(1 + random_() % 20))};
      }
      wish.ports.push_back({"TCP", static_cast<std::uint32_t>(80 + i), std::nullopt});
    }
    return wishes;
  }
  std::map<std::string, ObjectPointer> pools;

 private:
  std::mt19937& random_;
};

// One gateway's part in the ledger, as the coordinator plays it. Lives until it is killed.
class AllocatorProcess {
 public:
  AllocatorProcess(const RedisOptions& options, std::string name, std::string disk,
                   std::uint32_t seed, Counters* counters)
      : random_(seed),
        wishes_(random_),
        redis_(io_.get_executor(), options),
        lead_(redis_, name, kLease),
        ledger_(redis_),
        name_(std::move(name)),
        disk_(std::move(disk)),
        counters_(counters) {}

  void run() {
    if (const auto loaded = load_disk_state(disk_); loaded && loaded->state) {
      ledger_.load(*loaded->state);
    }
    boost::asio::co_spawn(io_, loop(), boost::asio::detached);
    io_.run();
  }

 private:
  boost::asio::awaitable<void> loop() {
    for (;;) {
      if (!redis_.connected()) (void)co_await redis_.connect();
      const auto leads = co_await lead_.hold();
      const Status refreshed = co_await ledger_.refresh();
      if (!leads || !refreshed) {
        std::this_thread::sleep_for(2ms);
        continue;
      }
      save();
      if (ledger_.state() == LedgerState::kRebuild) {
        co_await rebuild();
      } else if (*leads) {
        co_await allocate_once();
      } else {
        std::this_thread::sleep_for(2ms);
      }
    }
  }

  boost::asio::awaitable<void> rebuild() {
    v1::GatewayPresence presence;
    presence.set_name(name_);
    (void)co_await write_presence(redis_, presence);
    (void)co_await ledger_.offer_copy(name_, 1);
    if (!rebuild_since_) rebuild_since_ = Clock::now();
    RedisCommand first_byte;
    first_byte.push_back("GETRANGE");
    first_byte.push_back(keys::ledger_copy(name_ == "gw-0" ? "gw-1" : "gw-0"));
    first_byte.push_back("0");
    first_byte.push_back("0");
    const auto others = co_await redis_.command(std::move(first_byte));
    const bool all_offered = others && !others->text.empty() && !others->is_error();
    if (lead_.leading() && (all_offered || Clock::now() - *rebuild_since_ >= kRebuildWait)) {
      const auto rebuilt = co_await ledger_.rebuild(lead_.leader());
      if (rebuilt) ++counters_->rebuilt;
    }
    std::this_thread::sleep_for(10ms);
  }

  boost::asio::awaitable<void> allocate_once() {
    rebuild_since_.reset();
    const std::vector<AddressRequest> wishes = wishes_.next();
    std::vector<const AddressRequest*> requests;
    for (const AddressRequest& wish : wishes) requests.push_back(&wish);
    AllocationInputs inputs;
    inputs.requests = requests;
    inputs.pools = &wishes_.pools;
    inputs.ledger = &ledger_.records();
    inputs.unreadable = ledger_.unreadable();
    inputs.now_unix_ms = unix_ms();
    inputs.hold_ms = kHoldMs;
    inputs.services_known = [](const std::string&) { return true; };
    inputs.withdrawn_everywhere = [](const IpAddress&) { return true; };
    std::vector<v1::Address> writes = allocate(inputs).writes;
    const Leader leader = lead_.leader();
    if (random_() % 60 == 0) {
      std::this_thread::sleep_for(kStall);  // As if stopped by SIGSTOP.
    } else if (random_() % 20 == 0) {
      (void)co_await lead_.resign();  // And writes all the same.
    }
    const std::size_t count = writes.size();
    const Status applied = co_await ledger_.apply(leader, std::move(writes));
    (applied ? counters_->applied : counters_->refused) += applied ? count : 1;
    save();
  }

  void save() {
    v1::DiskState state;
    state.mutable_header()->set_major(1);
    ledger_.save(&state);
    std::string version = state.incarnation() + "/" + std::to_string(state.ledger_sequence());
    if (version == saved_) return;
    if (save_disk_state(disk_, state)) saved_ = std::move(version);
  }

  std::mt19937 random_;
  Wishes wishes_;
  boost::asio::io_context io_;
  Redis redis_;
  Lead lead_;
  Ledger ledger_;
  std::string name_, disk_, saved_;
  Counters* counters_;
  std::optional<Clock::time_point> rebuild_since_;
};

// Reads MONITOR line by line.
class Monitor {
 public:
  explicit Monitor(const std::string& socket_path) : fd_(::socket(AF_UNIX, SOCK_STREAM, 0)) {
    sockaddr_un to{};
    to.sun_family = AF_UNIX;
    socket_path.copy(to.sun_path, sizeof(to.sun_path) - 1);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof(to)), 0);
    EXPECT_EQ(::write(fd_, "MONITOR\r\n", 9), 9);
  }
  ~Monitor() { ::close(fd_); }
  Monitor(const Monitor&) = delete;
  Monitor& operator=(const Monitor&) = delete;

  void read_into(test::LedgerHistory* history) {
    char bytes[65536];
    for (;;) {
      const ssize_t n = ::recv(fd_, bytes, sizeof(bytes), MSG_DONTWAIT);
      if (n <= 0) break;
      buffer_.append(bytes, static_cast<std::size_t>(n));
    }
    std::size_t at = 0;
    for (std::size_t end; (end = buffer_.find("\r\n", at)) != std::string::npos; at = end + 2) {
      history->add_line(std::string_view(buffer_).substr(at, end - at));
    }
    buffer_.erase(0, at);
  }

 private:
  int fd_;
  std::string buffer_;
};

class LedgerRace : public StoreTest {
 protected:
  void SetUp() override {
    StoreTest::SetUp();
    std::ifstream file(SLUICE_SOURCE_DIR "/config/redis-acl.conf");
    for (std::string line; std::getline(file, line);) {
      std::istringstream in(line);
      std::vector<std::string> words = {"ACL", "SETUSER"};
      std::string word;
      in >> word;
      if (word != "user") continue;
      while (in >> word) words.push_back(word[0] == '>' ? ">" + kPassword : word);
      ASSERT_EQ(server.command(words), "OK") << line;
    }
    std::ofstream(server.folder() + "/password") << kPassword;
    ::chmod((server.folder() + "/password").c_str(), 0600);
    void* shared = ::mmap(nullptr, sizeof(Counters), PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(shared, MAP_FAILED);
    counters = new (shared) Counters{};
  }
  void TearDown() override {
    for (std::size_t i = 0; i < children.size(); ++i) kill_child(i);
    ::munmap(counters, sizeof(Counters));
    StoreTest::TearDown();
  }

  void start_child(std::size_t i, std::uint32_t seed) {
    RedisOptions o = options();
    o.username = "sluice-control";
    o.password_file = server.folder() + "/password";
    const std::string name = "gw-" + std::to_string(i);
    const pid_t pid = ::fork();
    ASSERT_GE(pid, 0);
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      AllocatorProcess(o, name, server.folder() + "/" + name + ".pb", seed, counters).run();
      ::_exit(0);
    }
    children[i] = pid;
  }
  void kill_child(std::size_t i) {
    if (children[i] <= 0) return;
    ::kill(children[i], SIGKILL);
    ::waitpid(children[i], nullptr, 0);
    children[i] = 0;
  }

  Counters* counters = nullptr;
  std::array<pid_t, 2> children{};
};

TEST_F(LedgerRace, NoAddressHasTwoHoldersAtAnyTime) {
  test::LedgerHistory history(kHoldMs);
  Monitor monitor(server.socket());
  std::mt19937 random(4);
  std::uint32_t seed = 100;
  for (std::size_t i = 0; i < children.size(); ++i) start_child(i, seed++);
  const auto end = Clock::now() + 90s;
  auto next_kill = Clock::now() + 2s;
  bool flushed = false;
  int kills = 0;
  const auto changes = [&] { return history.grants() + history.releases(); };
  const auto done = [&] {
    return changes() >= kChanges && kills >= kMinKills && flushed && history.whole();
  };
  while (!done() && history.violations().empty() && Clock::now() < end) {
    std::this_thread::sleep_for(5ms);
    monitor.read_into(&history);
    if (!history.whole() || Clock::now() < next_kill) continue;
    if (!flushed && changes() >= kChanges / 2) {
      // Whoever was started last has read all there is since.
      EXPECT_EQ(server.command({"FLUSHALL"}), "OK");
      flushed = true;
    } else {
      const std::size_t i = random() % children.size();
      kill_child(i);
      start_child(i, seed++);
      ++kills;
    }
    next_kill = Clock::now() + 400ms + std::chrono::milliseconds(random() % 300);
  }
  for (std::size_t i = 0; i < children.size(); ++i) kill_child(i);
  std::this_thread::sleep_for(50ms);
  monitor.read_into(&history);
  EXPECT_THAT(history.violations(), testing::IsEmpty());
  EXPECT_GE(changes(), kChanges);
  EXPECT_TRUE(flushed);
  EXPECT_GE(history.rebuilds(), 2u);  // The first one, and the one after the loss.
  EXPECT_GE(kills, kMinKills);
  EXPECT_GT(counters->refused, 0u);  // Fencing had something to do.
  std::cout << history.grants() << " grants, " << history.releases() << " releases, "
            << counters->refused << " refused, " << kills << " kills, " << history.rebuilds()
            << " rebuilds\n";
}

v1::Address held(std::uint64_t revision, std::initializer_list<const char*> names,
                 const std::string& key = "", std::int64_t released = 0) {
  v1::Address a;
  a.set_address(IpAddress::parse("192.0.2.1")->bytes());
  a.set_revision(revision);
  a.set_released_unix_ms(released);
  std::uint32_t port = 80;
  for (const char* name : names) {
    v1::AddressHolder& holder = *a.add_holders();
    holder.set_name(name);
    holder.set_sharing_key(key);
    v1::HeldPort& held_port = *holder.add_ports();
    held_port.set_protocol("TCP");
    held_port.set_port(port++);
  }
  return a;
}

// The checker itself sees what it is for.
TEST(LedgerHistory, SeesWhatMustNotBe) {
  const auto violations = [](const std::vector<v1::Address>& records) {
    test::LedgerHistory history(10);
    history.ready();
    std::int64_t now = 1000;
    for (const v1::Address& record : records) history.add(now++, record);
    return history.violations().size();
  };
  EXPECT_EQ(violations({held(1, {"a"}), held(2, {}, "", 900), held(3, {"b"})}), 0u);
  EXPECT_EQ(violations({held(1, {"a"}, "k"), held(2, {"a", "b"}, "k")}), 0u);
  EXPECT_EQ(violations({held(1, {"a"}), held(2, {"b"})}), 1u);  // Taken away.
  EXPECT_EQ(violations({held(1, {"a"}), held(2, {}, "", 1001), held(3, {"b"})}), 1u);  // On hold.
  EXPECT_EQ(violations({held(1, {"a"}), held(3, {"a"})}), 1u);  // A lost write.
  EXPECT_GE(violations({held(1, {"a", "b"})}), 1u);             // Two at once.
  test::LedgerHistory history(10);
  history.ready();
  history.add(1, held(1, {"a"}));
  history.lost();
  EXPECT_FALSE(history.whole());
  history.ready();
  EXPECT_EQ(history.violations().size(), 1u);  // Granted on before it was brought back.
  const std::string value = "\\n\\x041\\\"";
  history.add_line("+5.000001 [0 lua] \"SET\" \"sluice:1:address:x\" \"" + value + "\"");
  EXPECT_EQ(history.violations().size(), 2u);
}

}  // namespace
}  // namespace sluice::store
