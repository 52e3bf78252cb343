#include "control/kubernetes/reflector.h"

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <charconv>
#include <optional>
#include <random>
#include <utility>

#include "control/daemon/backoff.h"
#include "control/daemon/signal.h"
#include "control/kubernetes/watch_outcome.h"

namespace sluice::kube {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;
using Ms = std::chrono::milliseconds;

namespace {

// Expired lists in a row before one is asked for without pages.
constexpr int kExpiredLists = 2;
// Failed watches in a row before a list is asked for instead.
constexpr int kFailedWatches = 5;
// A resourceVersion is text of the server's; nothing sane is longer.
constexpr std::size_t kMaxToken = 16 << 10;

std::string path_of(v1::Kind kind) {
  switch (kind) {
    case v1::KIND_ENDPOINT_SLICE:
      return "/apis/discovery.k8s.io/v1/endpointslices";
    case v1::KIND_NODE:
      return "/api/v1/nodes";
    case v1::KIND_NAMESPACE:
      return "/api/v1/namespaces";
    default:
      return "/api/v1/services";
  }
}

std::optional<std::uint64_t> number(const std::string& text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

class Reflector::Impl {
 public:
  Impl(asio::any_io_executor executor, ApiCalls& calls, v1::Kind kind, ReflectorHandler& handler,
       ReflectorTiming timing)
      : calls_(calls),
        kind_(kind),
        path_(path_of(kind)),
        handler_(handler),
        timing_(timing),
        page_(timing.page),
        backoff_(timing.first_wait, timing.longest_wait),
        wake_(std::move(executor)) {}

  asio::awaitable<void> run();
  void stop() {
    stopping_ = true;
    if (stream_) stream_->close();
    wake_.notify();
  }

  std::string version_;
  std::uint64_t lists_ = 0, watches_ = 0;

 private:
  asio::awaitable<Outcome> list();
  asio::awaitable<Outcome> paged_list();
  asio::awaitable<Outcome> unpaged_list();
  asio::awaitable<std::optional<Outcome>> streamed_list();
  asio::awaitable<Outcome> watch();
  asio::awaitable<Outcome> follow(bool initial);
  asio::awaitable<Outcome> check_version(Outcome outcome);
  asio::awaitable<void> settle(Outcome outcome);
  std::optional<Outcome> take(std::string_view line, Clock::time_point arrived, bool* initial);
  Outcome error_event(const ApiStatus& status);
  Outcome page_failed(const Response& response);
  void whole(std::string version);
  void progress();
  std::string watch_query();

  ApiCalls& calls_;
  const v1::Kind kind_;
  const std::string path_;
  ReflectorHandler& handler_;
  const ReflectorTiming timing_;
  unsigned page_;
  Backoff backoff_;
  Signal wake_;
  std::minstd_rand random_{std::random_device{}()};
  std::unique_ptr<ByteStream> stream_;
  bool stopping_ = false;
  bool streaming_ = true;  // Streaming lists have not been refused.
  bool heard_ = false;     // This watch has sent something.
  int expired_lists_ = 0, failed_watches_ = 0, gone_watches_ = 0;  // In a row.
};

asio::awaitable<void> Reflector::Impl::run() {
  while (!stopping_) {
    Outcome outcome;
    if (version_.empty()) {
      outcome = co_await list();
    } else {
      outcome = co_await watch();
    }
    stream_.reset();
    if (!stopping_) co_await settle(std::move(outcome));
  }
}

asio::awaitable<void> Reflector::Impl::settle(Outcome outcome) {
  if (!outcome.kind.empty()) handler_.on_error(outcome.kind, outcome.text);
  if (outcome.next == Outcome::Next::kList) version_.clear();
  if (!outcome.failed) co_return;
  if (outcome.answered && !version_.empty() && ++failed_watches_ >= kFailedWatches) {
    failed_watches_ = 0;
    version_.clear();
  }
  Ms wait = backoff_.next();
  if (outcome.retry_after) {
    wait = std::max(wait, std::min<Ms>(*outcome.retry_after, 10 * timing_.longest_wait));
  }
  co_await wake_.sleep(wait);
}

// A whole list is known: only changes of it are asked for from now on. The back-off stays: that a
// watch from here works is still to be seen.
void Reflector::Impl::whole(std::string version) {
  version_ = std::move(version);
  ++lists_;
  expired_lists_ = 0;
  handler_.on_list_end();
  handler_.on_contact();
}

// The watch works.
void Reflector::Impl::progress() {
  heard_ = true;
  failed_watches_ = gone_watches_ = 0;
  backoff_.reset();
  handler_.on_contact();
}

asio::awaitable<Outcome> Reflector::Impl::list() {
  if (streaming_) {
    auto outcome = co_await streamed_list();
    if (outcome || stopping_) co_return outcome.value_or(Outcome{});
    streaming_ = false;
  }
  co_return co_await paged_list();
}

// Nothing: the server does not offer it.
asio::awaitable<std::optional<Outcome>> Reflector::Impl::streamed_list() {
  StreamRequest request;
  request.target =
      path_ + "?" + watch_query() + "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
  request.deadline = timing_.answer;
  request.idle = timing_.initial_idle;
  OpenedBytes opened = co_await calls_.open(std::move(request));
  const unsigned status = opened.response.status;
  if (status == 400 || status == 404 || status == 405 || status == 422) co_return std::nullopt;
  if (!opened.response.ok()) co_return failure_of(opened.response, Outcome::Next::kList);
  stream_ = std::move(opened.stream);
  handler_.on_list_begin();
  Outcome outcome = co_await follow(true);
  // A server too old for it takes the request for a watch from anywhere: its initial events come,
  // and their end never does.
  if (version_.empty() && outcome.kind == "ignored") co_return std::nullopt;
  co_return outcome;
}

asio::awaitable<Outcome> Reflector::Impl::paged_list() {
  handler_.on_list_begin();
  if (expired_lists_ >= kExpiredLists) co_return co_await unpaged_list();
  std::string continue_token, version;
  do {
    Request request;
    request.target = path_ + "?limit=" + std::to_string(page_);
    if (!continue_token.empty()) request.target += "&continue=" + query_escape(continue_token);
    request.deadline = timing_.answer;
    request.max_bytes = kListBodyBytes;
    const Response response = co_await calls_.request(std::move(request));
    if (stopping_) co_return Outcome{};
    if (!response.ok()) co_return page_failed(response);
    auto metadata = decode_list(kind_, response.body,
                                [this](Decoded item) { handler_.on_item(std::move(item)); });
    if (!metadata) co_return senseless("its list cannot be read: " + metadata.error());
    if (metadata->resource_version.size() > kMaxToken ||
        metadata->continue_token.size() > kMaxToken ||
        (!version.empty() && metadata->resource_version != version)) {
      co_return senseless("pages of its list are not of one resourceVersion");
    }
    version = std::move(metadata->resource_version);
    continue_token = std::move(metadata->continue_token);
  } while (!continue_token.empty());
  whole(std::move(version));
  co_return Outcome{};
}

asio::awaitable<Outcome> Reflector::Impl::unpaged_list() {
  StreamRequest request;
  request.target = path_;
  request.deadline = request.idle = timing_.answer;
  OpenedBytes opened = co_await calls_.open(std::move(request));
  if (stopping_) co_return Outcome{};
  if (!opened.response.ok()) co_return page_failed(opened.response);
  stream_ = std::move(opened.stream);
  ListReader reader(kind_, [this](Decoded item) { handler_.on_item(std::move(item)); });
  for (Piece piece; !piece.end;) {
    piece = co_await stream_->read();
    if (stopping_) co_return Outcome{};
    if (!piece.ok()) {
      co_return Outcome{
          Outcome::Next::kList, true, "transport", "its list was cut: " + piece.error, {}, false};
    }
    if (const Status fed = reader.feed(piece.bytes); !fed)
      co_return senseless("its list cannot be read: " + fed.error());
  }
  if (const Status whole_list = reader.finish(); !whole_list)
    co_return senseless("its list cannot be read: " + whole_list.error());
  whole(reader.metadata().resource_version);
  co_return Outcome{};
}

// An expired continue token comes with another one, for a rest that is not of the same moment as
// the pages before: it proves no absence, so the list begins anew; and without pages when lists
// expire again and again.
Outcome Reflector::Impl::page_failed(const Response& response) {
  Outcome outcome = failure_of(response, Outcome::Next::kList);
  if (response.status == kGone) {
    ++expired_lists_;
    outcome.failed = expired_lists_ > kExpiredLists;
  } else if (response.failure == Failure::kTooLarge || response.failure == Failure::kTimeout) {
    page_ = std::max(1u, page_ / 8);
  }
  return outcome;
}

std::string Reflector::Impl::watch_query() {
  std::uniform_int_distribution<Ms::rep> spread(timing_.watch_at_least.count(),
                                                timing_.watch_at_most.count());
  const auto seconds = std::max<Ms::rep>(1, spread(random_) / 1000);
  return "watch=true&allowWatchBookmarks=true&timeoutSeconds=" + std::to_string(seconds);
}

asio::awaitable<Outcome> Reflector::Impl::watch() {
  StreamRequest request;
  request.target = path_ + "?" + watch_query() + "&resourceVersion=" + query_escape(version_);
  request.deadline = timing_.answer;
  request.idle = timing_.idle;
  ++watches_;
  OpenedBytes opened = co_await calls_.open(std::move(request));
  const Response& response = opened.response;
  if (!response.ok()) {
    const bool list = response.status == kGone || response.status == 400 ||
                      response.status == 404 || response.status == 422;
    Outcome outcome = failure_of(response, list ? Outcome::Next::kList : Outcome::Next::kWatch);
    if (response.status == kGone) outcome.failed = ++gone_watches_ > 1;
    co_return outcome;
  }
  stream_ = std::move(opened.stream);
  co_return co_await follow(false);
}

asio::awaitable<Outcome> Reflector::Impl::follow(bool initial) {
  JsonLines lines;
  heard_ = false;
  const auto began = Clock::now();
  while (!stopping_) {
    const Piece piece = co_await stream_->read();
    const auto arrived = Clock::now();
    if (stopping_) break;
    Outcome end;
    end.next = initial ? Outcome::Next::kList : Outcome::Next::kWatch;
    if (piece.failure == Failure::kTimeout) {
      if (initial) end.kind = "ignored";
      end.text = "its streaming list stopped midway";
      end.failed = initial;
      if (initial) co_return end;
      co_return co_await check_version(std::move(end));
    }
    if (!piece.ok()) {
      end.failed = true;
      end.kind = "transport";
      end.text = "its watch was cut: " + piece.error;
      co_return end;
    }
    if (const Status fed = lines.feed(piece.bytes); !fed) {
      co_return senseless("its watch cannot be read: " + fed.error());
    }
    while (const auto line = lines.next()) {
      if (auto outcome = take(*line, arrived, &initial)) co_return *outcome;
    }
    if (!piece.end) continue;
    if (initial || lines.partial()) {
      end.failed = true;
      end.kind = "transport";
      end.text = "its watch ended midway";
      co_return end;
    }
    // A server that ends every watch at once is not asked in a loop.
    end.failed = !heard_ && arrived - began < std::chrono::seconds(1);
    if (heard_) co_return end;
    co_return co_await check_version(std::move(end));
  }
  co_return Outcome{};
}

// A watch from a resourceVersion that the server does not have yet (its store was restored) is
// silent for ever, as is one of objects nobody changes. The server's own version tells them apart.
asio::awaitable<Outcome> Reflector::Impl::check_version(Outcome outcome) {
  Request request;
  request.target = path_ + "?limit=1";
  request.deadline = timing_.answer;
  const Response response = co_await calls_.request(std::move(request));
  if (!response.ok()) {
    Outcome failed = failure_of(response, Outcome::Next::kWatch);
    co_return failed;
  }
  const auto metadata = decode_list(kind_, response.body, [](Decoded) {});
  const auto theirs = metadata ? number(metadata->resource_version) : std::nullopt;
  const auto ours = number(version_);
  if (theirs && ours && *theirs >= *ours) {
    progress();
    co_return outcome;
  }
  co_return Outcome{Outcome::Next::kList,
                    false,
                    "went_back",
                    "the server is at an older resourceVersion than " + version_,
                    {},
                    true};
}

std::optional<Outcome> Reflector::Impl::take(std::string_view line, Clock::time_point arrived,
                                             bool* initial) {
  auto event = decode_event(kind_, line);
  if (!event) {
    return senseless("an event of its watch cannot be read: " + event.error());
  }
  if (event->type == WatchEvent::Type::kError) return error_event(event->status);
  if (event->resource_version.empty() || event->resource_version.size() > kMaxToken) {
    return senseless("an event of its watch has no resourceVersion");
  }
  switch (event->type) {
    case WatchEvent::Type::kDeleted:
      handler_.on_delete(std::move(event->decoded), arrived);
      break;
    case WatchEvent::Type::kAdded:
    case WatchEvent::Type::kModified:
      if (*initial) {
        handler_.on_item(std::move(event->decoded));
      } else {
        handler_.on_change(std::move(event->decoded), arrived);
      }
      break;
    case WatchEvent::Type::kBookmark:
      if (!*initial) break;
      // An ordinary bookmark says that this is an ordinary watch.
      if (!event->initial_events_end) {
        return Outcome{Outcome::Next::kList,
                       false,
                       "ignored",
                       "the server knows no streaming lists",
                       {},
                       true};
      }
      *initial = false;
      ++watches_;
      whole(std::move(event->resource_version));
      return std::nullopt;
    case WatchEvent::Type::kError:
      break;
  }
  if (*initial) return std::nullopt;
  version_ = std::move(event->resource_version);
  progress();
  return std::nullopt;
}

Outcome Reflector::Impl::error_event(const ApiStatus& status) {
  Outcome outcome = outcome_of(status);
  // Again, right after a whole list: not in a tight loop.
  if (outcome.kind == kExpired) outcome.failed = ++gone_watches_ > 1;
  return outcome;
}

Reflector::Reflector(asio::any_io_executor executor, ApiCalls& calls, v1::Kind kind,
                     ReflectorHandler& handler, ReflectorTiming timing)
    : impl_(std::make_shared<Impl>(std::move(executor), calls, kind, handler, timing)) {}

Reflector::~Reflector() = default;

asio::awaitable<void> Reflector::run() {
  const std::shared_ptr<Impl> impl = impl_;
  co_await impl->run();
}

void Reflector::stop() {
  impl_->stop();
}

const std::string& Reflector::resource_version() const {
  return impl_->version_;
}

std::uint64_t Reflector::lists() const {
  return impl_->lists_;
}

std::uint64_t Reflector::watches() const {
  return impl_->watches_;
}

}  // namespace sluice::kube
