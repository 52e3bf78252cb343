#include "tests/support/kube/http_text.h"

#include <zlib.h>

#include <boost/beast/http/status.hpp>
#include <ctime>

#include "tests/support/kube/store_text.h"
#include "tests/support/kube/watch.h"

namespace sluice::test::kube {
namespace {

namespace http = boost::beast::http;

std::string date_text() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[64];
  const std::size_t length = std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return std::string(text, length);
}

}  // namespace

std::string compressed(const std::string& text) {
  z_stream stream{};
  if (deflateInit2(&stream, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) return text;
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string head_of(const Answer& answer, bool gzip, bool chunked, std::size_t length) {
  std::string head = "HTTP/1.1 " + std::to_string(answer.status) + " ";
  head += http::obsolete_reason(http::int_to_status(answer.status));
  head += "\r\nAudit-Id: " + random_uid() +
          "\r\nCache-Control: no-cache, private\r\nContent-Type: application/json\r\n";
  if (gzip) head += "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n";
  if (answer.retry_after_s != 0) {
    head += "Retry-After: " + std::to_string(answer.retry_after_s) + "\r\n";
  }
  head += "X-Kubernetes-Pf-Flowschema-Uid: 462e5631-4580-4419-b01b-b87340d553e5\r\n";
  head += "Date: " + date_text() + "\r\n";
  head += chunked ? "Transfer-Encoding: chunked\r\n"
                  : "Content-Length: " + std::to_string(length) + "\r\n";
  return head + "\r\n";
}

void endless_text(const ResourcePath& path, bool watch, std::string& first, std::string& item) {
  const bool known = path.place.resource != nullptr;
  const std::string kind = known ? std::string(path.place.resource->kind) : "Service";
  const std::string version = known ? api_version(*path.place.resource) : "v1";
  const Answer answer;
  if (watch) {
    first = R"({"type":"ADDED","object":{"kind":")" + kind + R"(","apiVersion":")" + version +
            R"(","metadata":{"name":"endless","annotations":{"a":")";
    item = std::string(kChunk, 'a');
  } else {
    first = R"({"kind":")" + kind + R"(List","apiVersion":")" + version +
            R"(","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"endless"}})";
    while (item.size() < kChunk) item += R"(,{"metadata":{"name":"endless"}})";
  }
  first = head_of(answer, false, true, 0) + chunk(first);
  item = chunk(item);
}

Answer asked_for(const Fault& fault, const ResourcePath& path) {
  Answer answer;
  if (fault.status == 401) {
    answer = unauthorized();
  } else if (fault.status == 403 && path.place.resource != nullptr) {
    answer = forbidden(*path.place.resource, path.place.name, "as the test asks");
  } else {
    answer = failure(fault.status, fault.status == 429 ? "TooManyRequests" : "InternalError",
                     "an error on the server, as the test asks");
  }
  answer.retry_after_s = fault.retry_after_s;
  return answer;
}

}  // namespace sluice::test::kube
