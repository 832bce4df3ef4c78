#include <ferry/address.h>

#include <gtest/gtest.h>

#include <cstdint>
#include <cstdio>
#include <random>
#include <string>

#include <net/if.h>

namespace ferry {
namespace {

struct Accepted {
  std::string text;
  std::string canonical;
};

TEST(AddressParse, FormatsWhatItParsesCanonically) {
  const Accepted table[] = {
      {"127.0.0.1:80", "127.0.0.1:80"},
      {"0.0.0.0:0", "0.0.0.0:0"},
      {"255.255.255.255:65535", "255.255.255.255:65535"},
      {"1.2.3.4:00080", "1.2.3.4:80"},
      {"[::]:0", "[::]:0"},
      {"[::1]:80", "[::1]:80"},
      {"[0:0:0:0:0:0:0:1]:80", "[::1]:80"},
      {"[2001:DB8::A]:443", "[2001:db8::a]:443"},
      {"[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]:5"},
      {"[fe80::1%2]:80", "[fe80::1%2]:80"},
      {"[fe80::1%4294967295]:80", "[fe80::1%4294967295]:80"},
      {"[fe80::1%0]:80", "[fe80::1]:80"},
      {"[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:1",
       "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:1"},
      {"unix:/run/x.sock", "unix:/run/x.sock"},
      {"unix:relative", "unix:relative"},
      {"unix:./with:colon", "unix:./with:colon"},
      {"unix:@abstract", "unix:@abstract"},
      {"unix:@", "unix:@"},
      {"unix:unix:x", "unix:unix:x"},
  };
  for (const Accepted& row : table) {
    const auto parsed = Address::parse(row.text);
    ASSERT_TRUE(parsed) << row.text;
    EXPECT_EQ(parsed->to_string(), row.canonical) << row.text;
    EXPECT_EQ(Address::parse(parsed->to_string()), parsed) << row.text;
  }
}

TEST(AddressParse, RefusesMalformedText) {
  const std::string table[] = {
      "",
      ":",
      ":80",
      "-",
      "127.0.0.1",
      "127.0.0.1:",
      "127.0.0.1:-1",
      "127.0.0.1:+1",
      "127.0.0.1: 80",
      "127.0.0.1:80 ",
      " 127.0.0.1:80",
      "127.0.0.1:65536",
      "127.0.0.1:99999",
      "127.0.0.1:000080",
      "127.0.0.1:18446744073709551696",
      "127.0.0.1:0x50",
      "127.0.0.1:http",
      "127.0.0.1:80:80",
      "127.0.0.1%1:80",
      "127.0.0:80",
      "127.1:80",
      "127.0.0.1.1:80",
      "127.0.0.256:80",
      "127.0.0.01:80",
      "1.2.3.4.:80",
      "[127.0.0.1]:80",
      "localhost:80",
      "::1",
      "::1:80",
      "[::1]",
      "[::1]80",
      "[::1]:",
      "[::1:80",
      "::1]:80",
      "[[::1]]:80",
      "[]:80",
      "[:]:80",
      "[::1 ]:80",
      "[1:2:3:4:5:6:7]:80",
      "[1:2:3:4:5:6:7:8:9]:80",
      "[12345::]:80",
      "[::g]:80",
      "[1::2::3]:80",
      "[fe80::1%]:80",
      "[fe80::1%4294967296]:80",
      "[fe80::1%-1]:80",
      "[fe80::1%1%1]:80",
      "[fe80::1%no-such-interface-here]:80",
      "[fe80::1%nosuchif0]:80",
      "[%1]:80",
      "unix:",
      "unix",
      "UNIX:/x",
      std::string("unix:/a\0b", 9),
      std::string("127.0.0.1\0:80", 13),
      std::string("127.0.0.1:80\0", 13),
      std::string("[::1\0]:80", 9),
      std::string("[fe80::1%lo\0]:80", 16),
      std::string(10'000, '1'),
      std::string(10'000, ':'),
      "[" + std::string(10'000, ':') + "]:80",
      "unix:" + std::string(10'000, 'x'),
  };
  for (const std::string& text : table) {
    const auto parsed = Address::parse(text);
    EXPECT_FALSE(parsed) << "'" << text.substr(0, 60) << "' became " << parsed->to_string();
  }
}

TEST(AddressIp, TakesNumericHostsOnly) {
  EXPECT_EQ(Address::ip("::1", 80)->to_string(), "[::1]:80");
  EXPECT_EQ(Address::ip("[::1]", 80)->to_string(), "[::1]:80");
  EXPECT_EQ(Address::ip("10.1.2.3", 80)->to_string(), "10.1.2.3:80");
  for (const char* host : {"", "localhost", "example.org", "[10.1.2.3]", "[]", "[", "]", "[::1",
                           "::1]", "10.1.2.3:80", "unix:/x", "*"}) {
    EXPECT_FALSE(Address::ip(host, 80)) << host;
  }
}

TEST(AddressIp, ScopeMayBeAnInterfaceName) {
  const unsigned index = ::if_nametoindex("lo");
  if (index == 0) GTEST_SKIP() << "this machine has no interface named lo";
  const auto address = Address::ip("fe80::1%lo", 80);
  ASSERT_TRUE(address);
  EXPECT_EQ(address->host(), "fe80::1%" + std::to_string(index));
}

TEST(AddressIp, HostIsTheInverseOfIp) {
  std::mt19937 random(42);
  for (int i = 0; i < 5000; ++i) {
    std::string host;
    if (i % 2 == 0) {
      for (int part = 0; part < 4; ++part) {
        if (part > 0) host += '.';
        host += std::to_string(random() % 256);
      }
    } else {
      for (int part = 0; part < 8; ++part) {
        char hex[8];
        // Many zeros, so that "::" appears in every place.
        std::snprintf(hex, sizeof hex, "%x", random() % 2 ? 0U : unsigned(random() % 65536));
        if (part > 0) host += ':';
        host += hex;
      }
      if (i % 3 == 0) host.append("%").append(std::to_string(random()));
    }
    const auto port = static_cast<std::uint16_t>(random());
    const auto address = Address::ip(host, port);
    ASSERT_TRUE(address) << host;
    EXPECT_EQ(address->port(), port);
    EXPECT_EQ(Address::ip(address->host(), port), address) << host;
    EXPECT_EQ(Address::parse(address->to_string()), address) << host;
  }
}

TEST(AddressParse, NeverAcceptsNoiseItCannotFormatBack) {
  std::mt19937 random(7);
  constexpr std::string_view kAlphabet = "0123456789abcf:.[]%@/unix-";
  int accepted = 0;
  for (int i = 0; i < 200'000; ++i) {
    // Half the rounds mutate something valid, so that the noise comes near the grammar.
    std::string text = i % 2 ? std::string("[fe80::1%2]:80") : std::string("10.0.0.1:80");
    if (i % 5 == 0) text = "unix:@ab";
    for (int edit = 0; edit < 1 + i % 3; ++edit) {
      const std::size_t at = random() % (text.size() + 1);
      const char letter = kAlphabet[random() % kAlphabet.size()];
      if (at < text.size() && random() % 2) {
        text[at] = letter;
      } else if (at < text.size() && random() % 2) {
        text.erase(at, 1);
      } else {
        text.insert(at, 1, letter);
      }
    }
    if (const auto address = Address::parse(text)) {
      ++accepted;
      ASSERT_EQ(Address::parse(address->to_string()), address) << text;
    }
  }
  EXPECT_GT(accepted, 1000);
}

}  // namespace
}  // namespace ferry
