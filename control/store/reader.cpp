#include "control/store/reader.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <optional>
#include <random>
#include <utility>

#include "control/store/keys.h"
#include "control/store/source_state.h"

namespace sluice::store {

namespace asio = boost::asio;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

// A Redis that keeps disagreeing with itself is read again at this pace, not as fast as it answers.
constexpr milliseconds kBetweenReads{200};

}  // namespace

class StoreReader::Impl {
 public:
  Impl(asio::any_io_executor executor, RedisOptions options, StoreObserver& observer,
       ReaderTiming timing)
      : commands_(executor, options),
        blocking_(executor, options),
        observer_(observer),
        timing_(timing),
        timer_(executor) {}

  asio::awaitable<void> run();
  void stop();

  void load(v1::DiskState disk);
  void save(v1::DiskState* disk) const;
  std::vector<DiskImage::Source> image() const;
  std::vector<SourceView> views() const;
  bool connected() const { return connected_; }
  bool read_once() const { return read_once_; }

 private:
  // Until the connection is lost: the error.
  asio::awaitable<Status> session();
  asio::awaitable<Status> read_all();
  // Takes entries of the stream, read just now; true: everything must be read again.
  asio::awaitable<Result<bool>> apply(std::vector<StreamEntry> entries);
  asio::awaitable<Status> deliver(std::map<ObjectKey, bool> changes);
  asio::awaitable<Result<bool>> compare();
  asio::awaitable<void> pause(milliseconds time);

  SourceState& source(const std::string& name);
  void set_connected(bool connected);
  void note_ledger(const std::string& mark);
  void report();

  Redis commands_;
  Redis blocking_;
  StoreObserver& observer_;
  ReaderTiming timing_;
  asio::steady_timer timer_;
  std::map<std::string, SourceState> sources_;
  std::string stream_id_;
  std::string ledger_;
  std::string replication_id_;
  std::string error_;  // Why Redis is not being read.
  std::size_t foreign_keys_ = 0;
  bool marker_seen_ = false;
  bool connected_ = false;
  bool read_once_ = false;
  bool stopping_ = false;
  steady_clock::time_point last_read_{};
  std::optional<steady_clock::time_point> whole_at_;  // When all values are still to be read.
  std::minstd_rand random_{std::random_device{}()};
};

SourceState& StoreReader::Impl::source(const std::string& name) {
  return sources_.try_emplace(name, name).first->second;
}

void StoreReader::Impl::load(v1::DiskState disk) {
  for (v1::DiskSource& saved : *disk.mutable_sources()) {
    const std::string name = saved.marker().source();
    if (keys::valid_source(name)) source(name).load(&saved, observer_);
  }
  report();
}

void StoreReader::Impl::save(v1::DiskState* disk) const {
  disk->clear_sources();
  for (const auto& [name, state] : sources_) state.save(disk->add_sources());
}

std::vector<DiskImage::Source> StoreReader::Impl::image() const {
  std::vector<DiskImage::Source> sources;
  for (const auto& [name, state] : sources_) sources.push_back(state.image());
  return sources;
}

std::vector<SourceView> StoreReader::Impl::views() const {
  std::vector<SourceView> views;
  for (const auto& [name, state] : sources_) views.push_back(state.view(connected_, error_));
  return views;
}

void StoreReader::Impl::report() {
  for (auto& [name, state] : sources_) state.report(connected_, error_, observer_);
}

void StoreReader::Impl::set_connected(bool connected) {
  const bool changed = connected != connected_;
  connected_ = connected;
  if (changed) observer_.on_connected(connected);
  if (!connected) report();
}

void StoreReader::Impl::note_ledger(const std::string& mark) {
  if (mark == ledger_) return;
  ledger_ = mark;
  observer_.on_ledger();
}

void StoreReader::Impl::stop() {
  stopping_ = true;
  commands_.close();
  blocking_.close();
  timer_.cancel();
}

asio::awaitable<void> StoreReader::Impl::pause(milliseconds time) {
  if (stopping_) co_return;
  boost::system::error_code ignored;
  timer_.expires_after(time);
  co_await timer_.async_wait(asio::redirect_error(asio::use_awaitable, ignored));
}

asio::awaitable<void> StoreReader::Impl::run() {
  milliseconds backoff = timing_.first_backoff;
  while (!stopping_) {
    const steady_clock::time_point begun = steady_clock::now();
    const Status ended = co_await session();
    if (stopping_) break;
    const std::string said = std::exchange(error_, ended.error());
    set_connected(false);
    if (steady_clock::now() - begun > 2 * timing_.last_backoff) backoff = timing_.first_backoff;
    if (error_ != said) spdlog::warn("redis is not being read error=\"{}\"", error_);
    const auto jitter =
        std::uniform_int_distribution<std::int64_t>(backoff.count() / 2, backoff.count())(random_);
    co_await pause(milliseconds(jitter));
    backoff = std::min(backoff * 2, timing_.last_backoff);
  }
  commands_.close();
  blocking_.close();
}

asio::awaitable<Status> StoreReader::Impl::session() {
  Status status = co_await commands_.connect();
  if (status) status = co_await blocking_.connect();
  if (status && !stopping_) status = co_await read_all();
  if (!status) co_return status;
  steady_clock::time_point check = steady_clock::now() + timing_.check;
  while (!stopping_) {
    auto entries = co_await read_new(blocking_, stream_id_, timing_.block);
    if (!entries) co_return Error{entries.error()};
    const bool news = !entries->empty();
    auto again = co_await apply(std::move(*entries));
    if (!again) co_return Error{again.error()};
    if (!*again && news) {
      report();
      observer_.on_synced();
    }
    if (!*again && (marker_seen_ || steady_clock::now() >= check)) {
      check = steady_clock::now() + timing_.check;
      again = co_await compare();
      if (!again) co_return Error{again.error()};
      if (!*again) report();
    }
    if (*again || (whole_at_ && steady_clock::now() >= *whole_at_)) {
      status = co_await read_all();
      if (!status) co_return status;
      check = steady_clock::now() + timing_.check;
    }
  }
  co_return Error{"stopped"};
}

asio::awaitable<Status> StoreReader::Impl::read_all() {
  if (steady_clock::now() - last_read_ < kBetweenReads) co_await pause(kBetweenReads);
  last_read_ = steady_clock::now();
  Earlier earlier;
  for (const auto& [name, state] : sources_) {
    earlier.positions[name] = state.live();
    if (state.exact()) earlier.exact.insert(name);
  }
  earlier.known = [this](const ObjectKey& key, std::size_t fingerprint) {
    const auto found = sources_.find(key.source);
    return found == sources_.end() ? nullptr : found->second.known(key, fingerprint);
  };
  earlier.object = [this](const ObjectKey& key) { return source(key.source).object(key); };
  auto snapshot = co_await read_snapshot(commands_, std::move(earlier));
  if (!snapshot) co_return Error{snapshot.error()};
  marker_seen_ = false;
  whole_at_.reset();
  if (!snapshot->whole) whole_at_ = steady_clock::now() + timing_.whole;
  stream_id_ = snapshot->stream_id;
  replication_id_ = snapshot->replication_id;
  for (const auto& [name, read] : snapshot->sources) source(name).take(read, observer_);
  if (snapshot->problems.size() != foreign_keys_) {
    foreign_keys_ = snapshot->problems.size();
    if (foreign_keys_ > 0) {
      spdlog::warn("redis has keys that are not ours count={} first=\"{}\"", foreign_keys_,
                   snapshot->problems.front().key.substr(0, 200));
    }
  }
  read_once_ = true;
  error_.clear();
  set_connected(true);
  note_ledger(snapshot->ledger);
  report();
  observer_.on_synced();
  co_return Ok{};
}

asio::awaitable<Result<bool>> StoreReader::Impl::apply(std::vector<StreamEntry> entries) {
  TimedChange timed;
  timed.read = std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now());
  timed.read_steady = steady_clock::now();
  std::vector<ChangeTimes> times;
  std::map<ObjectKey, bool> changes;  // True: put; false: delete. The last one counts.
  bool again = false;
  bool ledger = false;
  for (const StreamEntry& entry : entries) {
    stream_id_ = entry.id;
    if (entry.source == keys::kLedgerSource) ledger = true;
    if (entry.source.empty() || entry.source == keys::kLedgerSource) continue;
    const auto found = sources_.find(entry.source);
    const auto verdict =
        found == sources_.end() ? SourceState::Verdict::kResync : found->second.follow(entry);
    if (verdict == SourceState::Verdict::kIgnored) continue;
    if (verdict == SourceState::Verdict::kResync) {
      again = true;
      break;  // What came before it is still good, explicit deletes above all.
    }
    if (entry.op == StreamEntry::Op::kMarker) marker_seen_ = true;
    if (!entry.key) continue;
    changes[*entry.key] = entry.op == StreamEntry::Op::kPut;
    if (entry.times) times.push_back(*entry.times);
  }
  const Status delivered = co_await deliver(std::move(changes));
  if (!delivered) co_return Error{delivered.error()};
  for (const ChangeTimes& one : times) {
    timed.times = one;
    observer_.on_timed(timed);
  }
  if (ledger) observer_.on_ledger();
  co_return again;
}

asio::awaitable<Status> StoreReader::Impl::deliver(std::map<ObjectKey, bool> changes) {
  std::vector<ObjectKey> puts;
  for (const auto& [key, put] : changes) {
    if (put) {
      puts.push_back(key);
    } else {
      source(key.source).remove(key, observer_);
    }
  }
  auto values = co_await read_objects(commands_, puts);
  if (!values) co_return Error{values.error()};
  for (std::size_t i = 0; i < puts.size(); ++i) {
    source(puts[i].source).put(puts[i], (*values)[i], observer_);
  }
  co_return Ok{};
}

asio::awaitable<Result<bool>> StoreReader::Impl::compare() {
  const bool marker_seen = std::exchange(marker_seen_, false);
  std::set<std::string> names;
  for (const auto& [name, state] : sources_) names.insert(name);
  auto marks = co_await read_marks(commands_, std::move(names));
  if (!marks) co_return Error{marks.error()};
  note_ledger(marks->ledger);
  bool again = marks->replication_id != replication_id_;
  for (const auto& [name, hash] : marks->hashes) {
    const auto found = sources_.find(name);
    const bool accepted = marks->accepted.contains(name);
    if (found == sources_.end() || found->second.disagrees(hash, accepted)) {
      again = true;
    } else if (found->second.lagging()) {
      marker_seen_ = marker_seen;  // Once its entries are read, the marker is compared.
    }
  }
  co_return again;
}

StoreReader::StoreReader(asio::any_io_executor executor, RedisOptions options,
                         StoreObserver& observer, ReaderTiming timing)
    : impl_(std::make_unique<Impl>(std::move(executor), std::move(options), observer, timing)) {}

StoreReader::~StoreReader() = default;

void StoreReader::load(v1::DiskState disk) {
  impl_->load(std::move(disk));
}

asio::awaitable<void> StoreReader::run() {
  co_await impl_->run();
}

void StoreReader::stop() {
  impl_->stop();
}

bool StoreReader::connected() const {
  return impl_->connected();
}

bool StoreReader::read_once() const {
  return impl_->read_once();
}

std::vector<SourceView> StoreReader::sources() const {
  return impl_->views();
}

void StoreReader::save(v1::DiskState* disk) const {
  impl_->save(disk);
}

std::vector<DiskImage::Source> StoreReader::image() const {
  return impl_->image();
}

}  // namespace sluice::store
