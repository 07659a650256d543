import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loopbackServer } from "./loopback.ts";
import { resolverWith } from "./resolver.ts";

describe("which server of the loopback interface a URL names", () => {
  test.each([
    ["http://127.0.0.1:4000/v1", ["127.0.0.1"], "127.0.0.1", 4000],
    ["http://localhost:11434", ["127.0.0.1", "::1"], "localhost", 11434],
    ["http://LOCALHOST./x", ["127.0.0.1", "::1"], "localhost", 80],
    ["https://models.localhost/", ["127.0.0.1", "::1"], "localhost", 443],
    ["http://[::1]:8080/", ["::1"], "::1", 8080],
    ["http://[0:0::1]:8080/", ["::1"], "::1", 8080],
    ["http://127.1:9/", ["127.0.0.1"], "127.0.0.1", 9],
    ["http://127.0.53.1:9/", ["127.0.53.1"], "127.0.53.1", 9],
    ["http://2130706433:9/", ["127.0.0.1"], "127.0.0.1", 9],
    ["http://0.0.0.0:9/", ["127.0.0.1"], "127.0.0.1", 9],
    ["ssh://git@localhost:2222/a.git", ["127.0.0.1", "::1"], "localhost", 2222],
  ])("%s", (url, hosts, target, port) => {
    expect(loopbackServer(url)).toEqual({ hosts, target, port });
  });

  test.each([
    "https://example.com/",
    "http://10.0.0.1/",
    "http://128.0.0.1/",
    "http://localhost.example.com/",
    "git@localhost:a",
    "file:///a",
    "",
    "unix://localhost/x",
  ])("none: %s", (url) => expect(loopbackServer(url)).toBeUndefined());

  test("no address of another machine, and no text, is one", () => {
    const elsewhere = fc.ipV4().filter((address) => !/^(?:127|0)\./.test(address));
    fc.assert(
      fc.property(elsewhere, fc.nat(65_535), (host, port) => loopbackServer(`http://${host}:${port}/`) === undefined),
    );
    fc.assert(fc.property(fc.string(), (text) => loopbackServer(text) === undefined || URL.canParse(text)));
  });
});

test("the resolver's configuration keeps the machine's settings, and none of its servers", () => {
  const machine = "# comment\nnameserver 127.0.0.53\nsearch corp.example\noptions edns0 trust-ad\n nameserver ::1\n";
  expect(resolverWith("10.0.0.3", machine)).toBe("nameserver 10.0.0.3\nsearch corp.example\noptions edns0 trust-ad\n");
  expect(resolverWith("10.0.0.3", "")).toBe("nameserver 10.0.0.3\n");
});
