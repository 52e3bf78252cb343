#include "tests/support/kube/replay.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "tests/support/kube/json_ops.h"
#include "tests/support/kube/watch.h"

namespace sluice::test::kube {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(in), {});
}

std::uint64_t version_in(std::string_view text) {
  constexpr std::string_view kField = "\"resourceVersion\":\"";
  std::uint64_t version = 0;
  const std::size_t place = text.find(kField);
  if (place == std::string_view::npos) return 0;
  for (std::size_t i = place + kField.size(); i < text.size() && text[i] >= '0' && text[i] <= '9';
       ++i) {
    version = version * 10 + static_cast<std::uint64_t>(text[i] - '0');
  }
  return version;
}

// The pieces of a stream: one for each event of its body, so that a hold falls between events.
void split_events(const std::string& bytes, std::vector<Replay::Piece>& pieces) {
  // An event begins a chunk: its chunk's length line goes with it.
  constexpr std::string_view kStart = "\r\n{\"type\":\"";
  std::size_t begin = 0, event = bytes.find(kStart);
  while (begin < bytes.size()) {
    const std::size_t after = event == std::string::npos ? event : bytes.find(kStart, event + 2);
    const std::size_t next =
        after == std::string::npos ? bytes.size() : bytes.rfind("\r\n", after - 1) + 2;
    event = after;
    std::string piece = bytes.substr(begin, next - begin);
    pieces.push_back({version_in(piece), std::move(piece)});
    begin = next;
  }
}

bool ends_with_last_chunk(const std::string& bytes) {
  return bytes.ends_with("\r\n0\r\n\r\n");
}

std::string head_of(const std::string& headers) {
  std::string head;
  std::size_t begin = 0;
  while (begin < headers.size()) {
    std::size_t end = headers.find('\n', begin);
    if (end == std::string::npos) end = headers.size();
    std::string line = headers.substr(begin, end - begin);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.empty()) break;
    head += line + "\r\n";
    begin = end + 1;
  }
  return head + "\r\n";
}

}  // namespace

Replay::Replay(const std::string& folder) {
  namespace fs = std::filesystem;
  for (const char* part : {"list", "errors", "discovery", "objects", "watch"}) {
    std::error_code error;
    std::vector<std::string> files;
    for (const fs::directory_entry& entry : fs::directory_iterator(folder + "/" + part, error)) {
      files.push_back(entry.path().string());
    }
    std::sort(files.begin(), files.end());
    for (const std::string& file : files) {
      if (file.ends_with(".meta.json")) add_answer(file);
      if (file.ends_with(".url")) add_watch(file);
    }
  }
  if (entries_.empty()) throw std::runtime_error("no recordings in " + folder);
  const std::string sample = read_file(folder + "/watch/services.headers");
  silence_.pieces.push_back({0, head_of(sample)});
  silence_.end = End::kIdle;
  silence_.watch = true;
}

// NAME.meta.json with NAME.json.
void Replay::add_answer(const std::string& file) {
  const Result<json::object> meta = parse_object(read_file(file));
  if (!meta || text_at(*meta, {"method"}) != "GET") return;
  const std::string name = file.substr(0, file.size() - std::string_view(".meta.json").size());
  const std::string body = read_file(name + ".json");
  std::string headers;
  for (const json::value& line : meta->at("response_headers").as_array()) {
    headers += std::string(line.as_string()) + "\n";
  }
  const bool chunked = headers.find("Transfer-Encoding: chunked") != std::string::npos;
  Entry entry;
  const Target target = parse_target(text_at(*meta, {"path"}));
  entry.path = target.path;
  entry.parameters = target.parameters;
  entry.file = name;
  entry.recording.watch = target.flag("watch");
  // A watch that stayed silent has no body.
  std::string bytes = head_of(headers);
  if (chunked) bytes += (body.empty() ? "" : chunk(body)) + std::string(kLastChunk);
  if (!chunked) bytes += body;
  entry.recording.pieces.push_back({0, std::move(bytes)});
  entries_.push_back(std::move(entry));
}

// NAME.url with NAME.raw, or with NAME.headers and NAME.jsonl or NAME.json.
void Replay::add_watch(const std::string& file) {
  const std::string url = read_file(file);
  const std::size_t begin = url.find(' ') + 1;
  const Target target = parse_target(url.substr(begin, url.find('\n') - begin));
  const std::string name = file.substr(0, file.size() - 4);
  Entry entry;
  entry.path = target.path;
  entry.parameters = target.parameters;
  entry.file = name;
  entry.recording.watch = target.flag("watch");
  const bool ended = url.find("exit status: 0") != std::string::npos;
  const std::string raw = read_file(name + ".raw");
  if (!raw.empty()) {
    split_events(raw, entry.recording.pieces);
    entry.recording.end = ends_with_last_chunk(raw) ? End::kKeep : End::kClose;
    entries_.insert(entries_.begin(), std::move(entry));  // Before the same without borders.
    return;
  }
  std::string body = read_file(name + ".jsonl");
  if (body.empty()) body = read_file(name + ".json");
  std::string head = head_of(read_file(name + ".headers"));
  const bool chunked = head.find("Transfer-Encoding: chunked") != std::string::npos;
  if (!chunked) {
    entry.recording.pieces.push_back({0, head + body});
    entries_.push_back(std::move(entry));
    return;
  }
  entry.recording.pieces.push_back({0, std::move(head)});
  std::size_t line = 0;
  while (line < body.size()) {
    std::size_t end = body.find('\n', line);
    end = end == std::string::npos ? body.size() : end + 1;
    const std::string event = body.substr(line, end - line);
    entry.recording.pieces.push_back({version_in(event), chunk(event)});
    line = end;
  }
  if (ended) entry.recording.pieces.push_back({0, kLastChunk});
  entry.recording.end = ended ? End::kKeep : End::kClose;
  entries_.push_back(std::move(entry));
}

const Replay::Recording* Replay::find(const Request& request, const Target& target) const {
  if (request.method != "GET") return nullptr;
  // What says which objects are asked for; the rest is how.
  static const char* const kWhich[] = {"labelSelector",     "resourceVersion",
                                       "continue",          "watch",
                                       "sendInitialEvents", "resourceVersionMatch"};
  const bool paged = target.parameter("limit") == "5";
  const Entry* best = nullptr;
  bool recorded_path = false;
  for (const Entry& entry : entries_) {
    if (entry.path != target.path) continue;
    recorded_path = true;
    const bool same = std::all_of(std::begin(kWhich), std::end(kWhich), [&](const char* name) {
      const auto found = entry.parameters.find(name);
      return (found == entry.parameters.end() ? "" : found->second) == target.parameter(name);
    });
    const bool bad_user = entry.file.find("/40") != std::string::npos;
    if (!same || bad_user) continue;
    if (entry.parameters.contains("limit") && !paged && target.parameter("continue").empty()) {
      continue;
    }
    if (!entry.parameters.contains("limit") && paged) continue;
    const bool of_stage = entry.file.ends_with("." + stage_);
    const bool of_restart = entry.file.find("410") != std::string::npos;
    if (of_stage || (of_restart && stage_ == "restarted")) return &entry.recording;
    const bool other_stage = entry.file.ends_with(".initial") ||
                             entry.file.ends_with(".populated") ||
                             entry.file.ends_with(".after-churn") || of_restart;
    if (best == nullptr && !other_stage) best = &entry;
  }
  if (best != nullptr) return &best->recording;
  // Recorded objects, but not from this version: nothing happens.
  return recorded_path && target.flag("watch") ? &silence_ : nullptr;
}

}  // namespace sluice::test::kube
