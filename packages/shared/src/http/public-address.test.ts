import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { isAddress, isLoopbackHost, isPublicAddress, isPublicHost } from "./public-address.ts";
import { refuseWebhookUrl } from "./webhook-url.ts";

const byte = fc.integer({ min: 0, max: 255 });
const any4 = fc.tuple(byte, byte, byte, byte);
const under = (...first: number[]) => any4.map((bytes) => [...first, ...bytes.slice(first.length)] as Bytes);
type Bytes = [number, number, number, number];

/** Addresses that are in a private or special network, written by other means than the tables. */
const private4 = fc.oneof(
  under(0),
  under(10),
  under(127),
  under(192, 168),
  under(169, 254),
  fc.tuple(fc.constant(172), fc.integer({ min: 16, max: 31 }), byte, byte),
  fc.tuple(fc.constant(100), fc.integer({ min: 64, max: 127 }), byte, byte),
  fc.tuple(fc.integer({ min: 224, max: 255 }), byte, byte, byte),
);
const public4 = fc.oneof(under(1), under(8), under(93), under(172, 32), under(100, 63), under(223));

const radix = fc.constantFrom(8, 10, 16);
const written = (value: number, base: number) => (base === 16 ? "0x" : base === 8 ? "0" : "") + value.toString(base);
const numberOf = (bytes: readonly number[]) => bytes.reduce((sum, each) => sum * 256 + each, 0);
/** Every notation of an IPv4 address that a URL may have: one to four numbers, each decimal, octal or hexadecimal, and a dot. */
const notations = fc.record({
  parts: fc.integer({ min: 1, max: 4 }),
  bases: fc.tuple(radix, radix, radix, radix),
  dot: fc.boolean(),
});
function write(bytes: Bytes, { parts, bases, dot }: { parts: number; bases: Bytes; dot: boolean }): string {
  const numbers = [...bytes.slice(0, parts - 1), numberOf(bytes.slice(parts - 1))];
  return numbers.map((each, index) => written(each, bases[index] as number)).join(".") + (dot ? "." : "");
}

test("a private IPv4 address is refused in every notation", () => {
  fc.assert(
    fc.property(private4, notations, (bytes, notation) => {
      const url = `https://${write(bytes as Bytes, notation)}/`;
      expect(refuseWebhookUrl(url, false)).toBeDefined();
      expect(isPublicAddress(bytes.join("."))).toBe(false);
    }),
  );
});

test("a public IPv4 address is allowed in every notation", () => {
  fc.assert(
    fc.property(public4, notations, (bytes, notation) => {
      expect(refuseWebhookUrl(`https://${write(bytes as Bytes, notation)}/`, false)).toBeUndefined();
    }),
  );
});

test("an IPv4 address within an IPv6 address is refused: mapped, compatible, NAT64, 6to4, Teredo", () => {
  const hex = (a: number, b: number) => (a * 256 + b).toString(16);
  fc.assert(
    fc.property(any4, ([a, b, c, d]) => {
      const [dotted, groups] = [`${a}.${b}.${c}.${d}`, `${hex(a, b)}:${hex(c, d)}`];
      const within = [
        `::ffff:${dotted}`,
        `0:0:0:0:0:ffff:${groups}`,
        `::${dotted}`,
        `64:ff9b::${dotted}`,
        `2002:${groups}::1`,
        `2001:0:${groups}::1`,
      ];
      for (const address of within) {
        expect(isPublicAddress(address)).toBe(false);
        expect(refuseWebhookUrl(`https://[${address}]/`, false)).toBeDefined();
      }
    }),
  );
});

test("outside of global unicast no IPv6 address is public", () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  fc.assert(
    fc.property(fc.array(group, { minLength: 8, maxLength: 8 }), (groups) => {
      const address = groups.map((each) => each.toString(16)).join(":");
      const [first = 0, second = 0] = groups;
      if (first < 0x2000 || first > 0x3fff) expect(isPublicAddress(address)).toBe(false);
      else if (first > 0x2002 && first < 0x3fff) expect(isPublicAddress(address)).toBe(true);
      else if (first === 0x2001 && second < 0x200) expect(isPublicAddress(address)).toBe(false);
    }),
  );
});

describe("single addresses and names", () => {
  test.each([
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fc00::1",
    "fdff::1",
    "ff02::1",
    "2001:db8::1",
    "[::1]",
    "3fff::1",
    "100::1",
  ])("%s is not public", (address) => expect(isPublicAddress(address)).toBe(false));
  test.each(["2606:4700::1111", "[2606:4700::1111]", "2a00:1450:4001:80b::200e", "8.8.8.8"])(
    "%s is public",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
      expect(isAddress(address)).toBe(true);
    },
  );
  test.each([
    "localhost",
    "LOCALHOST.",
    "a.localhost",
    "printer",
    "printer.",
    "nas.local",
    "nas.LOCAL.",
    "db.internal",
    "metadata.google.internal",
    "router.home.arpa",
    "x.lan",
    "a..b",
    "",
    ".",
  ])("%s is no public name", (name) => expect(isPublicHost(name)).toBe(false));
  test.each(["example.com", "example.com.", "hooks.example.co.uk", "local.example.com", "xn--bcher-kva.example"])(
    "%s may be public",
    (name) => expect(isPublicHost(name)).toBe(true),
  );
});

describe("a URL", () => {
  test.each([
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "https://user@example.com/",
    "https://:secret@example.com/",
    "https://",
    "",
    `https://example.com/${"x".repeat(2048)}`,
    "https://１２７.０.０.１/",
    "https://127。0。0。1/",
    "https://loc%61lhost/",
    "https://[::ffff:7f00:1]/",
    "https://0/",
  ])("%s is refused", (url) => expect(refuseWebhookUrl(url, false)).toBeDefined());

  test("where private networks are allowed, http is for this machine alone", () => {
    for (const url of [
      "https://10.0.0.1/",
      "https://nas.local/",
      "http://127.1.2.3:80/",
      "http://localhost/",
      "http://[::1]/",
    ]) {
      expect(refuseWebhookUrl(url, true)).toBeUndefined();
      expect(refuseWebhookUrl(url, false)).toBeDefined();
    }
    for (const url of ["http://10.0.0.1/", "http://example.com/", "http://127.evil.example/"]) {
      expect(refuseWebhookUrl(url, true)).toBeDefined();
    }
  });

  test("this machine has many names", () => {
    for (const host of ["localhost", "localhost.", "x.localhost", "127.0.0.1", "127.255.0.1", "[::1]"]) {
      expect(isLoopbackHost(host)).toBe(true);
    }
    for (const host of ["127.0.0.1.example.com", "notlocalhost", "128.0.0.1"]) expect(isLoopbackHost(host)).toBe(false);
  });
});
