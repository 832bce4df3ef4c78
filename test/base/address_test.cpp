#include <ferry/address.h>

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace ferry {
namespace {

// Through the kernel's form and back.
Address round_trip(const Address& address) {
  sockaddr_storage storage;
  std::memset(&storage, 0xee, sizeof storage);
  const socklen_t length = address.to_sockaddr(storage);
  return Address(reinterpret_cast<const sockaddr*>(&storage), length);
}

Address address(std::string_view text) {
  return Address::parse(text).value();
}

TEST(Address, DefaultIsEmpty) {
  const Address empty;
  EXPECT_EQ(sizeof empty, 32U);
  EXPECT_TRUE(empty.empty());
  EXPECT_EQ(empty.family(), AF_UNSPEC);
  EXPECT_FALSE(empty.is_ip());
  EXPECT_FALSE(empty.is_unix());
  EXPECT_EQ(empty.host(), "");
  EXPECT_EQ(empty.port(), 0);
  EXPECT_EQ(empty.path(), "");
  EXPECT_EQ(empty.to_string(), "-");
  sockaddr_storage storage;
  EXPECT_EQ(empty.to_sockaddr(storage), 0U);
  EXPECT_EQ(round_trip(empty), empty);
}

TEST(Address, Ipv4HasHostAndPort) {
  const Address a = Address::ip("192.0.2.7", 8080).value();
  EXPECT_EQ(a.family(), AF_INET);
  EXPECT_TRUE(a.is_ip());
  EXPECT_EQ(a.host(), "192.0.2.7");
  EXPECT_EQ(a.port(), 8080);
  EXPECT_EQ(a.path(), "");
  EXPECT_FALSE(a.is_abstract());
  EXPECT_EQ(Address::loopback(5), *Address::ip("127.0.0.1", 5));
}

TEST(Address, Ipv4IsWrittenInTheKernelsByteOrder) {
  sockaddr_storage storage;
  ASSERT_EQ(address("1.2.3.4:258").to_sockaddr(storage), sizeof(sockaddr_in));
  sockaddr_in in;
  std::memcpy(&in, &storage, sizeof in);
  EXPECT_EQ(in.sin_family, AF_INET);
  EXPECT_EQ(in.sin_port, htons(258));
  EXPECT_EQ(in.sin_addr.s_addr, htonl(0x01020304));
}

TEST(Address, Ipv6KeepsItsScopeThroughTheKernelsForm) {
  const Address a = Address::ip("fe80::1%7", 80).value();
  EXPECT_EQ(a.family(), AF_INET6);
  EXPECT_EQ(a.host(), "fe80::1%7");
  EXPECT_EQ(a.to_string(), "[fe80::1%7]:80");
  sockaddr_storage storage;
  ASSERT_EQ(a.to_sockaddr(storage), sizeof(sockaddr_in6));
  sockaddr_in6 in6;
  std::memcpy(&in6, &storage, sizeof in6);
  EXPECT_EQ(in6.sin6_scope_id, 7U);
  EXPECT_EQ(in6.sin6_flowinfo, 0U);
  EXPECT_EQ(in6.sin6_port, htons(80));
  EXPECT_EQ(round_trip(a), a);
}

TEST(Address, MappedIpv4StaysIpv6) {
  const Address a = Address::ip("::ffff:10.0.0.1", 1).value();
  EXPECT_EQ(a.family(), AF_INET6);
  EXPECT_EQ(a.host(), "::ffff:10.0.0.1");
  EXPECT_NE(a, *Address::ip("10.0.0.1", 1));
}

TEST(Address, UnixPathEndsWithANulForTheKernel) {
  const Address a = Address::unix_path("/run/x.sock");
  EXPECT_TRUE(a.is_unix());
  EXPECT_FALSE(a.is_ip());
  EXPECT_FALSE(a.is_abstract());
  EXPECT_EQ(a.path(), "/run/x.sock");
  EXPECT_EQ(a.host(), "");
  EXPECT_EQ(a.port(), 0);
  sockaddr_storage storage;
  EXPECT_EQ(a.to_sockaddr(storage), offsetof(sockaddr_un, sun_path) + 12);
  EXPECT_EQ(round_trip(a), a);
}

TEST(Address, AbstractNameHasItsNulInFrontAndNoneBehind) {
  const Address a = Address::unix_path("@ferry");
  EXPECT_TRUE(a.is_abstract());
  EXPECT_EQ(a.path(), "@ferry");
  sockaddr_storage storage;
  ASSERT_EQ(a.to_sockaddr(storage), offsetof(sockaddr_un, sun_path) + 6);
  EXPECT_EQ(std::memcmp(reinterpret_cast<char*>(&storage) + offsetof(sockaddr_un, sun_path),
                        "\0ferry", 6),
            0);
  EXPECT_EQ(round_trip(a), a);
}

TEST(Address, AbstractNameMayHoldAnyByte) {
  const std::string name("@a\0b\0", 5);
  const Address a = Address::unix_path(name);
  EXPECT_EQ(a.path(), name);
  EXPECT_EQ(round_trip(a), a);
  EXPECT_NE(a, Address::unix_path(std::string_view(name).substr(0, 4)));
}

TEST(Address, PathAndAbstractNameOfTheSameLettersDiffer) {
  EXPECT_NE(Address::unix_path("x"), Address::unix_path("@x"));
}

TEST(Address, UnnamedUnixAddressHasNoPath) {
  const Address a = Address::unix_path("");
  EXPECT_TRUE(a.is_unix());
  EXPECT_FALSE(a.empty());
  EXPECT_FALSE(a.is_abstract());
  EXPECT_EQ(a.path(), "");
  EXPECT_EQ(a.to_string(), "unix:");
  EXPECT_EQ(round_trip(a), a);
  EXPECT_NE(a, Address());
  EXPECT_NE(a, Address::unix_path("@"));
}

TEST(Address, TakesWhatTheKernelSaysOfASocketpair) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  ASSERT_EQ(::getpeername(ends[0], reinterpret_cast<sockaddr*>(&storage), &length), 0);
  EXPECT_EQ(Address(reinterpret_cast<sockaddr*>(&storage), length), Address::unix_path(""));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(Address, TheKernelBindsAndReportsTheSameAddress) {
  const std::string abstract = "@ferry-address-test-" + std::to_string(::getpid());
  for (const Address& wanted : {Address::loopback(0), Address::unix_path(abstract)}) {
    const int fd = ::socket(wanted.family(), SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_GE(fd, 0);
    sockaddr_storage storage;
    socklen_t length = wanted.to_sockaddr(storage);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&storage), length), 0) << wanted.to_string();
    length = sizeof storage;
    ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length), 0);
    const Address bound(reinterpret_cast<sockaddr*>(&storage), length);
    if (wanted.is_ip()) {
      EXPECT_NE(bound.port(), 0);
      EXPECT_EQ(bound.with_port(0), wanted);
    } else {
      EXPECT_EQ(bound, wanted);
    }
    ::close(fd);
  }
}

TEST(Address, LongestPathFitsAndOneByteMoreThrows) {
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
  const std::string path(kMost, 'p');
  const std::string abstract = "@" + path;
  EXPECT_EQ(round_trip(Address::unix_path(path)).path(), path);
  EXPECT_EQ(round_trip(Address::unix_path(abstract)).path(), abstract);
  EXPECT_THROW(Address::unix_path(path + "p"), std::invalid_argument);
  EXPECT_THROW(Address::unix_path(abstract + "p"), std::invalid_argument);
  EXPECT_FALSE(Address::parse("unix:" + path + "p"));
  try {
    Address::unix_path(std::string(300, 'p'));
    FAIL() << "must throw";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "unix socket path is too long: 300 bytes, at most 107 fit");
  }
}

TEST(Address, APathWithANulInsideThrows) {
  EXPECT_THROW(Address::unix_path(std::string_view("a\0b", 3)), std::invalid_argument);
}

TEST(Address, APathFromTheKernelMayFillSunPathWithoutANul) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memset(un.sun_path, 'k', sizeof un.sun_path);
  // Linux reports one byte more than sun_path holds for such a name.
  const Address a(reinterpret_cast<sockaddr*>(&un), sizeof un + 1);
  EXPECT_EQ(a.path(), std::string(sizeof un.sun_path, 'k'));
  EXPECT_EQ(round_trip(a), a);
}

TEST(Address, AFileNamedLikeAnAbstractNameIsToldApart) {
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, "@file", 6);
  const Address a(reinterpret_cast<sockaddr*>(&un), sizeof un);
  EXPECT_FALSE(a.is_abstract());
  EXPECT_EQ(a.path(), "./@file");
}

TEST(Address, ShortOrForeignKernelAddressesAreEmpty) {
  sockaddr_storage storage{};
  const auto* raw = reinterpret_cast<const sockaddr*>(&storage);
  EXPECT_TRUE(Address(nullptr, 0).empty());
  EXPECT_TRUE(Address(raw, 0).empty());
  EXPECT_TRUE(Address(raw, sizeof storage).empty());
  storage.ss_family = AF_INET;
  EXPECT_TRUE(Address(raw, sizeof(sockaddr_in) - 1).empty());
  EXPECT_EQ(Address(raw, sizeof(sockaddr_in)).to_string(), "0.0.0.0:0");
  storage.ss_family = AF_INET6;
  EXPECT_TRUE(Address(raw, sizeof(sockaddr_in6) - 1).empty());
  storage.ss_family = AF_NETLINK;
  EXPECT_TRUE(Address(raw, sizeof storage).empty());
}

TEST(Address, CopiesAndMovesOfEveryKind) {
  for (const Address& original :
       {Address(), address("1.2.3.4:5"), address("[fe80::9%3]:6"), Address::unix_path(""),
        Address::unix_path("/a/rather/long/path/that/no/small/string/holds"),
        Address::unix_path("@abstract")}) {
    SCOPED_TRACE(original.to_string());
    Address copy = original;
    EXPECT_EQ(copy, original);
    Address moved = std::move(copy);
    EXPECT_EQ(moved, original);
    EXPECT_TRUE(copy.empty());  // NOLINT: moved-from is promised to be empty
    for (const Address& before : {Address(), address("9.9.9.9:9"), Address::unix_path("/old")}) {
      Address target = before;
      target = original;
      EXPECT_EQ(target, original);
      target = before;
      target = std::move(moved);
      EXPECT_EQ(target, original);
      moved = std::move(target);
      EXPECT_EQ(moved, original);
    }
    Address& same = moved;
    moved = same;
    EXPECT_EQ(moved, original);
    moved = std::move(same);
    EXPECT_EQ(moved, original);
  }
}

TEST(Address, WithPortChangesOnlyThePort) {
  EXPECT_EQ(address("[fe80::1%2]:80").with_port(443), address("[fe80::1%2]:443"));
  EXPECT_EQ(address("10.0.0.1:80").with_port(0).to_string(), "10.0.0.1:0");
  EXPECT_THROW(Address::unix_path("/x").with_port(1), std::logic_error);
  EXPECT_THROW(Address().with_port(1), std::logic_error);
}

// In the promised order: family, address, scope, port; names by their bytes.
std::vector<Address> ordered() {
  return {Address(),
          Address::unix_path(""),
          Address::unix_path("@a"),
          Address::unix_path("@b"),
          Address::unix_path("/a"),
          Address::unix_path("/a/b"),
          Address::unix_path("/b"),
          address("1.2.3.4:5"),
          address("1.2.3.4:6"),
          address("1.2.3.4:256"),
          address("1.2.3.5:1"),
          address("200.0.0.1:1"),
          address("[::]:1"),
          address("[::1]:2"),
          address("[fe80::1%1]:9"),
          address("[fe80::1%2]:1"),
          address("[fe80::1%2]:3"),
          address("[fe80::2]:1")};
}

TEST(Address, OrderIsTotalAndAgreesWithEqualityAndHash) {
  const std::vector<Address> all = ordered();
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      SCOPED_TRACE(all[i].to_string() + " and " + all[j].to_string());
      EXPECT_EQ(all[i] < all[j], i < j);
      EXPECT_EQ(all[i] > all[j], i > j);
      EXPECT_EQ(all[i] == all[j], i == j);
      EXPECT_EQ(all[i].hash() == all[j].hash(), i == j);
    }
  }
  std::vector<Address> shuffled = all;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(11));
  std::sort(shuffled.begin(), shuffled.end());
  EXPECT_EQ(shuffled, all);
}

TEST(Address, EqualAddressesHashEquallyHoweverTheyWereMade) {
  for (const Address& a : ordered()) {
    EXPECT_EQ(round_trip(a).hash(), a.hash());
    EXPECT_EQ(std::hash<Address>{}(a), a.hash());
  }
  Address reused = address("[fe80::1%2]:80");
  reused = address("1.2.3.4:80");
  EXPECT_EQ(reused.hash(), address("1.2.3.4:80").hash());
}

TEST(Address, HashSpreadsNeighbouringPeers) {
  std::unordered_set<Address> peers;
  std::set<std::size_t> low_bits;
  for (std::uint16_t port = 1; port <= 4096; ++port) {
    peers.insert(Address::loopback(port));
    low_bits.insert(Address::loopback(port).hash() % 4096);
  }
  EXPECT_EQ(peers.size(), 4096U);
  // 4096 random draws from 4096 slots hit about 2589 of them.
  EXPECT_GT(low_bits.size(), 2400U);
}

}  // namespace
}  // namespace ferry
