#include "dataplane/kernel/netlink.h"

#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "dataplane/kernel/netlink_parse.h"

namespace sluice {
namespace {

// A full BGP table's worth of changes while this thread is busy; the kernel takes it only when
// needed.
constexpr int kEventBufferBytes = 32 << 20;

struct CloseSocket {
  void operator()(mnl_socket* socket) const { mnl_socket_close(socket); }
};
using Socket = std::unique_ptr<mnl_socket, CloseSocket>;

Error kernel_error(const std::string& what, int error) {
  std::string text = "kernel refused to " + what + ": " + std::strerror(error);
  if (error == EPERM) text += "; sluice-dataplane needs CAP_NET_ADMIN";
  return Error{text};
}

std::uint8_t family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

// A request under construction in a buffer of its own.
class Message {
 public:
  Message(std::uint16_t type, std::uint16_t flags) : header_(mnl_nlmsg_put_header(buffer_)) {
    header_->nlmsg_type = type;
    header_->nlmsg_flags = NLM_F_REQUEST | flags;
  }
  template <typename Header>
  Header& put() {
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(header_, sizeof(Header)));
  }
  void attribute(std::uint16_t type, const IpAddress& address) {
    mnl_attr_put(header_, type, address.size(), address.data());
  }
  nlmsghdr* header() { return header_; }

 private:
  alignas(nlmsghdr) char buffer_[1024] = {};
  nlmsghdr* header_;
};

}  // namespace

struct Netlink::Impl {
  Socket events;
  Socket requests;
  std::uint32_t sequence = 0;
  std::vector<char> buffer = std::vector<char>(256 << 10);

  int send(nlmsghdr* message) {
    message->nlmsg_seq = ++sequence;
    return mnl_socket_sendto(requests.get(), message, message->nlmsg_len) < 0 ? errno : 0;
  }

  // Reads the answers to the last request until its end; 0 or an errno.
  int answers(const Sink* sink) {
    for (;;) {
      const ssize_t bytes = mnl_socket_recvfrom(requests.get(), buffer.data(), buffer.size());
      if (bytes < 0) {
        if (errno == EINTR) continue;
        return errno == EAGAIN ? ETIMEDOUT : errno;
      }
      int left = static_cast<int>(bytes);
      for (auto* message = reinterpret_cast<nlmsghdr*>(buffer.data()); mnl_nlmsg_ok(message, left);
           message = mnl_nlmsg_next(message, &left)) {
        if (message->nlmsg_seq != sequence) continue;  // A late answer to an earlier request.
        // The table changed under the dump: what was read may lack something.
        if ((message->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
        if (message->nlmsg_type == NLMSG_DONE) return 0;
        if (message->nlmsg_type == NLMSG_ERROR) {
          if (message->nlmsg_len < MNL_NLMSG_HDRLEN + sizeof(nlmsgerr)) return EBADMSG;
          return -static_cast<const nlmsgerr*>(mnl_nlmsg_get_payload(message))->error;
        }
        if (sink == nullptr) continue;
        if (const auto event = parse_kernel_event(message)) (*sink)(*event);
      }
    }
  }
  bool interrupted = false;

  int request(Message& message) {
    message.header()->nlmsg_flags |= NLM_F_ACK;
    const int error = send(message.header());
    return error != 0 ? error : answers(nullptr);
  }

  template <typename Header>
  int dump(std::uint16_t type, const Sink& sink, std::uint8_t flags_of_neighbours = 0) {
    Message message(type, NLM_F_DUMP);
    Header& header = message.put<Header>();
    if constexpr (std::is_same_v<Header, ndmsg>) header.ndm_flags = flags_of_neighbours;
    const int error = send(message.header());
    return error != 0 ? error : answers(&sink);
  }
};

Netlink::Netlink(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Netlink::~Netlink() = default;

Result<std::unique_ptr<Netlink>> Netlink::open() {
  auto impl = std::make_unique<Impl>();
  for (Socket* socket : {&impl->events, &impl->requests}) {
    socket->reset(mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC));
    if (*socket == nullptr || mnl_socket_bind(socket->get(), 0, MNL_SOCKET_AUTOPID) < 0) {
      return kernel_error("open a netlink socket", errno);
    }
  }
  const int events = mnl_socket_get_fd(impl->events.get());
  for (int group : {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                    RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_NEXTHOP}) {
    if (mnl_socket_setsockopt(impl->events.get(), NETLINK_ADD_MEMBERSHIP, &group, sizeof group) <
            0 &&
        group != RTNLGRP_NEXTHOP) {  // Linux before 5.3 has no nexthop objects.
      return kernel_error("subscribe to network changes", errno);
    }
  }
  // Without the right to go beyond net.core.rmem_max: as much as that allows.
  if (setsockopt(events, SOL_SOCKET, SO_RCVBUFFORCE, &kEventBufferBytes, sizeof(int)) < 0) {
    (void)setsockopt(events, SOL_SOCKET, SO_RCVBUF, &kEventBufferBytes, sizeof(int));
  }
  const timeval timeout{.tv_sec = 2, .tv_usec = 0};
  (void)setsockopt(mnl_socket_get_fd(impl->requests.get()), SOL_SOCKET, SO_RCVTIMEO, &timeout,
                   sizeof timeout);
  return std::unique_ptr<Netlink>(new Netlink(std::move(impl)));
}

int Netlink::event_fd() const {
  return mnl_socket_get_fd(impl_->events.get());
}

Status Netlink::dump(const Sink& sink) {
  // An interrupted dump is still handed over: what it lacks or tells twice has a notification that
  // follows. Links first, so that everything else can be told by its link.
  int error = impl_->dump<ifinfomsg>(RTM_GETLINK, sink);
  if (error == 0) error = impl_->dump<ifaddrmsg>(RTM_GETADDR, sink);
  if (error == 0) {
    error = impl_->dump<nhmsg>(RTM_GETNEXTHOP, sink);
    if (error == EOPNOTSUPP) error = 0;
  }
  if (error == 0) error = impl_->dump<rtmsg>(RTM_GETROUTE, sink);
  if (error == 0) error = impl_->dump<ndmsg>(RTM_GETNEIGH, sink);
  if (error != 0) return kernel_error("list links, addresses, routes and neighbours", error);
  return Ok{};
}

Status Netlink::dump_proxies(const Sink& sink) {
  const int error = impl_->dump<ndmsg>(RTM_GETNEIGH, sink, NTF_PROXY);
  if (error != 0) return kernel_error("list proxy neighbours", error);
  return Ok{};
}

bool Netlink::read_events(const Sink& sink, unsigned limit) {
  const int fd = event_fd();
  while (limit > 0) {
    const ssize_t bytes =
        recv(fd, impl_->buffer.data(), impl_->buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (bytes < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;  // Else ENOBUFS: the kernel dropped some.
    }
    if (static_cast<std::size_t>(bytes) > impl_->buffer.size()) return false;
    int left = static_cast<int>(bytes);
    for (auto* message = reinterpret_cast<nlmsghdr*>(impl_->buffer.data());
         mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
      if (const auto event = parse_kernel_event(message)) sink(*event);
      if (limit > 0) --limit;
    }
  }
  return true;
}

Status Netlink::add_host_address(int link, const IpAddress& address) {
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE);
  auto& header = message.put<ifaddrmsg>();
  header.ifa_family = family_of(address);
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.size() * 8);
  header.ifa_index = static_cast<unsigned>(link);
  message.attribute(IFA_LOCAL, address);
  message.attribute(IFA_ADDRESS, address);
  if (address.is_v6()) {
    mnl_attr_put_u32(message.header(), IFA_FLAGS, IFA_F_NODAD | IFA_F_NOPREFIXROUTE);
    ifa_cacheinfo lifetime{};
    lifetime.ifa_prefered = 0;
    lifetime.ifa_valid = 0xffffffff;
    mnl_attr_put(message.header(), IFA_CACHEINFO, sizeof lifetime, &lifetime);
  }
  const int error = impl_->request(message);
  if (error != 0 && error != EEXIST) return kernel_error("add address " + address.text(), error);
  return Ok{};
}

Status Netlink::remove_host_address(int link, const IpAddress& address) {
  Message message(RTM_DELADDR, 0);
  auto& header = message.put<ifaddrmsg>();
  header.ifa_family = family_of(address);
  header.ifa_prefixlen = static_cast<std::uint8_t>(address.size() * 8);
  header.ifa_index = static_cast<unsigned>(link);
  message.attribute(IFA_LOCAL, address);
  const int error = impl_->request(message);
  if (error != 0 && error != EADDRNOTAVAIL) {
    return kernel_error("remove address " + address.text(), error);
  }
  return Ok{};
}

Status Netlink::add_link(const std::string& name, const char* type) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  message.put<ifinfomsg>();
  mnl_attr_put_strz(message.header(), IFLA_IFNAME, name.c_str());
  nlattr* info = mnl_attr_nest_start(message.header(), IFLA_LINKINFO);
  mnl_attr_put_strz(message.header(), IFLA_INFO_KIND, type);
  mnl_attr_nest_end(message.header(), info);
  const int error = impl_->request(message);
  if (error != 0) return kernel_error("make link " + name + " of type " + type, error);
  return Ok{};
}

Status Netlink::set_link_up(int link) {
  Message message(RTM_NEWLINK, 0);
  auto& header = message.put<ifinfomsg>();
  header.ifi_index = link;
  header.ifi_flags = IFF_UP;
  header.ifi_change = IFF_UP;
  const int error = impl_->request(message);
  if (error != 0) return kernel_error("bring up link " + std::to_string(link), error);
  return Ok{};
}

Status Netlink::resolve_neighbour(int link, const IpAddress& address, bool managed) {
  Message message(RTM_NEWNEIGH, NLM_F_CREATE);
  auto& header = message.put<ndmsg>();
  header.ndm_family = family_of(address);
  header.ndm_ifindex = link;
  header.ndm_flags = NTF_USE;
  message.attribute(NDA_DST, address);
  if (managed) mnl_attr_put_u32(message.header(), NDA_FLAGS_EXT, NTF_EXT_MANAGED);
  int error = impl_->request(message);
  if (error == 0 || !managed) {
    return error == 0 ? Status(Ok{}) : kernel_error("resolve " + address.text(), error);
  }
  return resolve_neighbour(link, address, false);  // Linux before 5.16 has no managed neighbours.
}

Status Netlink::add_proxy(int link, const IpAddress& address) {
  Message message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  auto& header = message.put<ndmsg>();
  header.ndm_family = family_of(address);
  header.ndm_ifindex = link;
  header.ndm_flags = NTF_PROXY;
  header.ndm_state = NUD_PERMANENT;
  message.attribute(NDA_DST, address);
  mnl_attr_put_u8(message.header(), NDA_PROTOCOL, kProxyProtocol);
  const int error = impl_->request(message);
  if (error != 0)
    return kernel_error("answer neighbour solicitations for " + address.text(), error);
  return Ok{};
}

Status Netlink::remove_proxy(int link, const IpAddress& address) {
  Message message(RTM_DELNEIGH, 0);
  auto& header = message.put<ndmsg>();
  header.ndm_family = family_of(address);
  header.ndm_ifindex = link;
  header.ndm_flags = NTF_PROXY;
  message.attribute(NDA_DST, address);
  const int error = impl_->request(message);
  if (error != 0 && error != ENOENT) {
    return kernel_error("stop answering neighbour solicitations for " + address.text(), error);
  }
  return Ok{};
}

}  // namespace sluice
