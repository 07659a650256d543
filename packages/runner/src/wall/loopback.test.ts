import { isScpLike } from "@valet/shared/protocol/repo-url";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loopbackServer } from "./loopback.ts";
import { resolverWith } from "./resolver.ts";

const HOSTS = `
127.0.0.1\tlocalhost # gone
127.0.1.1 buildbox.corp.example buildbox
10.0.0.7 other
::1 models
127.0.0.1 models
`;

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
    ["http://[::]:9/", ["::1"], "::1", 9],
    ["ssh://git@localhost:2222/a.git", ["127.0.0.1", "::1"], "localhost", 2222],
    ["git@localhost:team/a.git", ["127.0.0.1", "::1"], "localhost", 22],
    ["git@127.0.0.1:a", ["127.0.0.1"], "127.0.0.1", 22],
    ["http://buildbox:9/", ["127.0.1.1"], "127.0.1.1", 9],
    ["git@BuildBox.corp.example:a", ["127.0.1.1"], "127.0.1.1", 22],
    ["https://models/", ["::1", "127.0.0.1"], "::1", 443],
  ])("%s", (url, hosts, target, port) => {
    expect(loopbackServer(url, HOSTS)).toEqual({ hosts, target, port });
  });

  test.each([
    "https://example.com/",
    "http://10.0.0.1/",
    "http://128.0.0.1/",
    "http://localhost.example.com/",
    "git@example.com:a",
    "http://other:9/",
    "http://gone:9/",
    "file:///a",
    "",
    "unix://localhost/x",
  ])("none: %s", (url) => expect(loopbackServer(url, HOSTS)).toBeUndefined());

  test("no address of another machine, and no text, is one", () => {
    const elsewhere = fc.ipV4().filter((address) => !/^(?:127|0)\./.test(address));
    fc.assert(
      fc.property(elsewhere, fc.nat(65_535), (host, port) => loopbackServer(`http://${host}:${port}/`) === undefined),
    );
    fc.assert(
      fc.property(fc.string(), (text) => loopbackServer(text) === undefined || URL.canParse(text) || isScpLike(text)),
    );
  });
});

test("the resolver's configuration keeps the machine's settings, and none of its servers", () => {
  const machine = "# comment\nnameserver 127.0.0.53\nsearch corp.example\noptions edns0 trust-ad\n nameserver ::1\n";
  expect(resolverWith("10.0.0.3", machine)).toBe("nameserver 10.0.0.3\nsearch corp.example\noptions edns0 trust-ad\n");
  expect(resolverWith("10.0.0.3", "")).toBe("nameserver 10.0.0.3\n");
});
