#include "tests/unit/store/ledger_history.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <utility>

namespace sluice::test {
namespace {

using Name = std::pair<std::string, std::string>;

Name name_of(const v1::AddressHolder& holder) {
  return {holder.source() + "/" + holder.namespace_(), holder.name()};
}

std::set<Name> names_of(const v1::Address& record) {
  std::set<Name> names;
  for (const v1::AddressHolder& holder : record.holders()) names.insert(name_of(holder));
  return names;
}

bool same_key(const v1::AddressHolder& a, const v1::AddressHolder& b) {
  return !a.sharing_key().empty() && a.sharing_key() == b.sharing_key();
}

// The words of a line of MONITOR: quoted, with C's escapes.
std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '"') continue;
    std::string word;
    for (++i; i < text.size() && text[i] != '"'; ++i) {
      if (text[i] != '\\') {
        word += text[i];
        continue;
      }
      const char c = text[++i];
      if (c == 'x') {
        int value = 0;
        std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
        word += static_cast<char>(value);
        i += 2;
        continue;
      }
      constexpr std::string_view letters = "nrtab", meanings = "\n\r\t\a\b";
      const auto at = letters.find(c);
      word += at == std::string_view::npos ? c : meanings[at];
    }
    words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

void LedgerHistory::violation(std::string text) {
  if (violations_.size() < 20) violations_.push_back(std::move(text));
}

void LedgerHistory::add_line(std::string_view line) {
  const std::size_t origin = line.find(" [");
  if (line.empty() || line[0] != '+' || origin == std::string_view::npos) return;
  const auto now_ms = static_cast<std::int64_t>(
      std::strtod(std::string(line.substr(1, origin - 1)).c_str(), nullptr) * 1000);
  const bool script = line.substr(origin).starts_with(" [0 lua]");
  if (!script && line.find("\"FLUSHALL\"") == std::string_view::npos) return;
  const std::vector<std::string> words = words_of(line.substr(origin));
  if (!words.empty() && words[0] == "FLUSHALL") return lost();
  if (words.size() == 3 && words[0] == "SET" && words[1].starts_with("sluice:1:address:")) {
    v1::Address record;
    if (!record.ParseFromString(words[2])) return violation("not a record: " + words[1]);
    return add(now_ms, record);
  }
  if (words.size() < 4 || words[0] != "HSET" || words[1] != "sluice:1:ledger") return;
  if (words[2] == "incarnation") rebuilding_ = true;
  if (words[2] == "ready" && words[3] == "1") ready();
}

void LedgerHistory::add(std::int64_t now_ms, const v1::Address& record) {
  const auto address = IpAddress::from_bytes(record.address());
  if (!address) return violation("a record without an address");
  check_alone(address->text(), record);
  v1::Address& last = records_[*address];
  if (!rebuilding_) {
    check_step(now_ms, address->text(), last, record);
  } else if (last.revision() != 0 && names_of(last) != names_of(record)) {
    violation(address->text() + " was brought back with other holders than it had");
  }
  lost_.erase(*address);
  last = record;
}

void LedgerHistory::check_alone(const std::string& address, const v1::Address& record) {
  std::set<std::pair<std::string, std::uint32_t>> ports;
  for (const v1::AddressHolder& holder : record.holders()) {
    if (record.holders_size() > 1 && !same_key(holder, record.holders(0))) {
      violation(address + " has two holders that do not share it");
    }
    for (const v1::HeldPort& port : holder.ports()) {
      if (ports.emplace(port.protocol(), port.port()).second) continue;
      violation(address + " port " + std::to_string(port.port()) + " has two holders");
    }
  }
}

void LedgerHistory::check_step(std::int64_t now_ms, const std::string& address,
                               const v1::Address& before, const v1::Address& after) {
  if (after.revision() != before.revision() + 1) {
    violation(address + " went from revision " + std::to_string(before.revision()) + " to " +
              std::to_string(after.revision()));
  }
  const std::set<Name> were = names_of(before), are = names_of(after);
  for (const Name& name : were) releases_ += are.contains(name) ? 0 : 1;
  const bool rested =
      before.released_unix_ms() == 0 || now_ms - before.released_unix_ms() >= hold_ms_;
  for (const v1::AddressHolder& holder : after.holders()) {
    if (were.contains(name_of(holder))) continue;
    ++grants_;
    const auto shares = [&](const v1::AddressHolder& other) { return same_key(holder, other); };
    const bool allowed =
        before.holders().empty()
            ? rested || name_of(before.last_holder()) == name_of(holder) ||
                  shares(before.last_holder())
            : std::all_of(before.holders().begin(), before.holders().end(), shares);
    if (!allowed) {
      violation(address + " went to " + holder.name() + " while " +
                (before.holders().empty() ? "on hold" : before.holders(0).name() + " held it"));
    }
  }
}

void LedgerHistory::lost() {
  rebuilding_ = true;
  for (const auto& [address, record] : records_) {
    if (!record.holders().empty()) lost_.insert(address);
  }
}

void LedgerHistory::ready() {
  rebuilding_ = false;
  ++rebuilds_;
  for (const IpAddress& address : lost_) violation(address.text() + " was lost in a rebuild");
  lost_.clear();
}

}  // namespace sluice::test
