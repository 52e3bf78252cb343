#include "control/store/disk.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <ctime>
#include <string_view>

#include "control/store/objects.h"

namespace sluice::store {
namespace {

constexpr std::string_view kMagic = "SLUICE01";
constexpr std::size_t kHead = 8 + 8 + 4;
constexpr std::size_t kMaxBytes = 1u << 30;

class File {
 public:
  explicit File(int descriptor) : descriptor_(descriptor) {}
  ~File() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  bool open() const { return descriptor_ >= 0; }
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

Error failed(const std::string& what, const std::string& path) {
  return Error{"cannot " + what + " " + path + ": " + std::strerror(errno)};
}

std::uint32_t checksum(std::string_view bytes, std::uint32_t before = 0) {
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size()));
}

void append_little_endian(std::uint64_t value, int bytes, std::string* out) {
  for (int i = 0; i < bytes; ++i) out->push_back(static_cast<char>(value >> (8 * i)));
}

std::uint64_t take_little_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = bytes.size(); i-- > 0;) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[i]);
  }
  return value;
}

bool write_all(int file, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

bool read_all(int file, std::string* bytes) {
  std::size_t done = 0;
  while (done < bytes->size()) {
    const ssize_t size = ::read(file, bytes->data() + done, bytes->size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    done += static_cast<std::size_t>(size);
  }
  return true;
}

// Collects what goes to the file, in blocks, with its checksum.
class Writer {
 public:
  explicit Writer(int file) : file_(file) {}

  void skip_head() { good_ = write_all(file_, std::string(kHead, '\0')); }
  void add(const google::protobuf::MessageLite& message) {
    message.AppendToString(&block_);
    flush(kBlock);
  }
  // Before an element of a repeated message.
  void add_frame(std::uint32_t field, std::size_t bytes) {
    block_.push_back(static_cast<char>(field << 3 | 2));
    for (; bytes >= 0x80; bytes >>= 7) block_.push_back(static_cast<char>(bytes | 0x80));
    block_.push_back(static_cast<char>(bytes));
  }
  bool finish(std::size_t size) {
    flush(0);
    std::string head(kMagic);
    append_little_endian(written_, 8, &head);
    append_little_endian(crc_, 4, &head);
    return good_ && written_ == size &&
           ::pwrite(file_, head.data(), head.size(), 0) == static_cast<ssize_t>(head.size());
  }

 private:
  static constexpr std::size_t kBlock = 256 * 1024;

  void flush(std::size_t from) {
    if (block_.size() < from) return;
    crc_ = checksum(block_, crc_);
    written_ += block_.size();
    good_ = good_ && write_all(file_, block_);
    block_.clear();
  }

  int file_;
  bool good_ = true;
  std::string block_;
  std::size_t written_ = 0;
  std::uint32_t crc_ = 0;
};

// An element of a repeated message with its tag (of fields below 16) and length.
std::size_t framed(std::size_t bytes) {
  std::size_t length = 1;
  for (std::size_t rest = bytes; rest >= 0x80; rest >>= 7) ++length;
  return 1 + length + bytes;
}

std::size_t size_of(const DiskImage::Source& source) {
  std::size_t size = source.head.ByteSizeLong();
  for (const auto& object : source.objects) size += framed(object->ByteSizeLong());
  return size;
}

void write_source(const DiskImage::Source& source, std::size_t size, Writer* writer) {
  writer->add_frame(v1::DiskState::kSourcesFieldNumber, size);
  writer->add(source.head);
  for (const auto& object : source.objects) {
    writer->add_frame(v1::DiskSource::kObjectsFieldNumber, object->ByteSizeLong());
    writer->add(*object);
  }
}

// Without it the rename itself could be lost with the power.
void sync_folder(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const File file(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (file.open()) ::fsync(file.get());
}

Result<v1::DiskState> decode(const std::string& bytes) {
  const std::string_view view(bytes);
  if (view.size() < kHead || view.substr(0, 8) != kMagic) return Error{"it is not a state file"};
  const std::string_view message = view.substr(kHead);
  if (take_little_endian(view.substr(8, 8)) != message.size()) return Error{"it is cut"};
  if (take_little_endian(view.substr(16, 4)) != checksum(message)) {
    return Error{"its checksum is wrong"};
  }
  v1::DiskState state;
  if (!state.ParseFromArray(message.data(), static_cast<int>(message.size())))
    return Error{"it does not parse"};
  if (state.header().major() != kMajor) {
    return Error{"it has layout version " + std::to_string(state.header().major()) +
                 ", this program reads " + std::to_string(kMajor)};
  }
  return state;
}

}  // namespace

// A serialised message is the messages it is merged of, one after the other; so sources are written
// behind the rest of the state, object by object.
Status save_disk_state(const std::string& path, DiskImage image) {
  image.state.mutable_header()->set_major(kMajor);
  image.state.mutable_header()->set_minor(kMinor);
  std::size_t size = image.state.ByteSizeLong();
  std::vector<std::size_t> source_sizes;
  for (const DiskImage::Source& source : image.sources) {
    source_sizes.push_back(size_of(source));
    size += framed(source_sizes.back());
  }
  if (size > kMaxBytes) return Error{"the state is too large for " + path};

  const std::string beside = path + ".new";
  {
    // A left-over of a crash may be there, with any mode.
    ::unlink(beside.c_str());
    const File file(::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file.open()) return failed("create", beside);
    Writer writer(file.get());
    writer.skip_head();
    writer.add(image.state);
    for (std::size_t i = 0; i < image.sources.size(); ++i)
      write_source(image.sources[i], source_sizes[i], &writer);
    if (!writer.finish(size) || ::fsync(file.get()) != 0) return failed("write", beside);
  }
  if (::rename(beside.c_str(), path.c_str()) != 0) return failed("replace", path);
  sync_folder(path);
  return Ok{};
}

Result<LoadedState> load_disk_state(const std::string& path) {
  LoadedState loaded;
  std::string bytes;
  {
    const File file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file.open() && errno == ENOENT) return loaded;
    if (!file.open()) return failed("read", path);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
      return Error{path + " is not a file"};
    }
    if (static_cast<std::size_t>(status.st_size) <= kMaxBytes + kHead) {
      bytes.resize(static_cast<std::size_t>(status.st_size));
      if (!read_all(file.get(), &bytes)) return failed("read", path);
    }
  }
  Result<v1::DiskState> state = decode(bytes);
  bytes = {};
  if (state) {
    loaded.state = std::move(*state);
    return loaded;
  }
  const std::string aside = path + ".damaged-" + std::to_string(std::time(nullptr));
  if (::rename(path.c_str(), aside.c_str()) != 0) return failed("move aside", path);
  loaded.warning = path + " is not used: " + state.error() + "; it was moved to " + aside;
  return loaded;
}

}  // namespace sluice::store
