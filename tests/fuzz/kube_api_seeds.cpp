// Writes the first inputs of kube_api_fuzz, from the recorded traffic of a real API server:
// kube_api_seeds RECORDINGS FOLDER.
#include <zlib.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/seed_folder.h"

namespace sluice::fuzz {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongest = 8000;
enum What : unsigned { kList, kWatch, kSingle, kLease, kHttp = 16 };

// The first two bytes of an input.
std::string start(unsigned what, unsigned kind) {
  return {static_cast<char>(what | kind << 2), '\x7f'};
}

// By the file's name, as the fuzzer numbers them.
unsigned kind_of(const std::string& name) {
  if (name.find("slice") != std::string::npos) return 1;
  return name.find("node") != std::string::npos ? 2 : 0;
}

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  FUZZ_CHECK(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  FUZZ_CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  FUZZ_CHECK(deflateEnd(&stream) == Z_OK);
  return packed;
}

std::string answer(const std::string& fields, const std::string& body) {
  return "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}

// One line of a watch each, and the first few together.
void write_lines(const Folder& folder, const std::string& name, const std::string& text) {
  std::size_t begin = 0;
  for (int number = 0; number < 12; ++number) {
    const std::size_t end = text.find('\n', begin);
    if (end == std::string::npos) break;
    const std::string line = text.substr(begin, end + 1 - begin);
    if (line.size() <= kLongest)
      folder.write(name + "-" + std::to_string(number), start(kWatch, kind_of(name)) + line);
    begin = end + 1;
  }
  if (begin > 0) folder.write(name, start(kWatch, kind_of(name)) + text.substr(0, kLongest));
}

void write_recordings(const Folder& folder, const fs::path& recordings) {
  for (const auto& entry : fs::recursive_directory_iterator(recordings)) {
    const std::string name = entry.path().filename().string();
    const std::string part = entry.path().parent_path().filename().string();
    if (!entry.is_regular_file() || name.ends_with(".meta.json")) continue;
    const std::string text = read(entry.path());
    if (name.ends_with(".raw")) {
      folder.write(part + "-" + name,
                   start(kHttp | kWatch, kind_of(name)) + text.substr(0, kLongest));
    } else if (name.ends_with(".jsonl") || name.starts_with("watch-")) {
      write_lines(folder, part + "-" + name, text);
    } else if (name.ends_with(".json") && text.size() <= kLongest) {
      folder.write(part + "-" + name,
                   start(part == "list" ? kList : kSingle, kind_of(name)) + text);
      if (part == "list" || part == "errors")
        folder.write("http-" + name, start(kHttp | kList, kind_of(name)) +
                                         answer("Content-Encoding: gzip\r\n", gzip(text)));
    }
  }
}

// What the recordings lack.
void write_others(const Folder& folder) {
  folder.write("lease",
               start(kLease, 0) +
                   R"({"metadata":{"name":"l","namespace":"n","uid":"u","resourceVersion":"7"},)"
                   R"("spec":{"holderIdentity":"a","leaseDurationSeconds":15,"leaseTransitions":3,)"
                   R"("acquireTime":"2026-11-23T04:00:00.000000Z","renewTime":null}})");
  folder.write("namespaces",
               start(kList, 3) +
                   R"({"kind":"NamespaceList","metadata":{"resourceVersion":"9","continue":"x",)"
                   R"("remainingItemCount":2},"items":[{"metadata":{"name":"a","uid":"u",)"
                   R"("resourceVersion":"1","labels":{"k\u0065y":"\ud83d\ude00","b":""}}}]})");
  folder.write(
      "every-value",
      start(kSingle, 1) +
          R"({"metadata":{"name":"s","namespace":"n","uid":"u","resourceVersion":"2",)"
          R"("managedFields":[{"a":[1,-2.5e3,true,null]}]},"addressType":"IPv6","endpoints":)"
          R"([{"addresses":["2001:db8::1","fe80::1","x"],"conditions":{"ready":null},"zone":"z"}],)"
          R"("ports":[{"name":"","port":18446744073709551616,"protocol":"TCP","new":{}}]})");
}

}  // namespace
}  // namespace sluice::fuzz

int main(int argc, char** argv) {
  using namespace sluice;
  if (argc != 3) {
    std::cerr << "usage: kube_api_seeds RECORDINGS FOLDER\n";
    return 2;
  }
  const fuzz::Folder folder(argv[2]);
  fuzz::write_recordings(folder, argv[1]);
  fuzz::write_others(folder);
}
