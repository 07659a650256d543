import { expect, test } from "vitest";
import { isListed, ProviderContext } from "./provider-context.ts";

test.each([
  ["https://gateway.example.com/v1/chat", ["gateway.example.com"], true],
  ["https://gateway.example.com:8443/v1", ["gateway.example.com"], true],
  ["https://Gateway.Example.com/v1", ["gateway.example.com:443"], true],
  ["http://gateway.example.com/v1", ["gateway.example.com:443"], false],
  ["http://127.0.0.1:4000/v1", ["127.0.0.1:4000"], true],
  ["http://127.0.0.1:4001/v1", ["127.0.0.1:4000"], false],
  ["http://[::1]:4000/v1", ["[::1]:4000"], true],
  ["https://evil.example/gateway.example.com", ["gateway.example.com"], false],
  ["https://gateway.example.com@evil.example/", ["gateway.example.com"], false],
  ["https://sub.gateway.example.com/", ["gateway.example.com"], false],
  ["https://gateway.example.com/", [], false],
  ["/v1/chat", ["gateway.example.com"], false],
])("%s of the list %j: %s", (url, hosts, is) => {
  expect(isListed(url, hosts)).toBe(is);
});

test("a list holds hosts, in lower case, and nothing else", () => {
  const parse = (host: string) => ProviderContext.safeParse({ traceparent: true, tracestateHosts: [host] });
  expect(parse(" Gateway.example.com:443 ").data?.tracestateHosts).toEqual(["gateway.example.com:443"]);
  for (const bad of ["", "https://a.example", "a.example/v1", "*", "a b", "user@a.example"]) {
    expect(parse(bad).success).toBe(false);
  }
});
