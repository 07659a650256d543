import { describe, expect, test } from "vitest";
import { getTracestate, parseTracestate, setTracestate, trimOws } from "./tracestate.ts";

const LOWER = "abcdefghijklmnopqrstuvwxyz";
const DIGITS = "0123456789";
const KEY_CHARACTERS = `${LOWER}${DIGITS}_-*/@`;
const printable = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => String.fromCharCode(from + i)).join("");
const VALUE_CHARACTERS = printable(0x20, 0x2b) + printable(0x2d, 0x3c) + printable(0x3e, 0x7e);

/** So many members of so many characters each, `k00=vvv…` first. */
function members(count: number, length: number): string[] {
  return Array.from({ length: count }, (_, i) => `k${String(i).padStart(2, "0")}=`.padEnd(length, "v"));
}

describe("parseTracestate", () => {
  test("keeps members and their order", () => {
    expect(parseTracestate("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE")).toBe("rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  });

  test("R29 empty and white-space members are allowed, and removed", () => {
    expect(parseTracestate("")).toBe("");
    expect(parseTracestate(" \t")).toBe("");
    expect(parseTracestate(",, ,\t,")).toBe("");
    expect(parseTracestate(",foo=1,, \t ,bar=2,")).toBe("foo=1,bar=2");
  });

  test("white space around members is removed; leading spaces of a value are kept", () => {
    expect(parseTracestate("foo=1 \t , \t bar=2,\tbaz=  3 ")).toBe("foo=1,bar=2,baz=  3");
  });

  test("R29 up to 32 members are read, 33 are no tracestate", () => {
    const most = members(32, 5);
    expect(parseTracestate(most.join(","))).toBe(most.join(","));
    expect(parseTracestate(`,${most.join(", ,")},`)).toBe(most.join(","));
    expect(parseTracestate([...most, "k=1"].join(","))).toBe("");
  });

  test("R29 a key holds a-z 0-9 _ - * / @ and begins with a letter or digit", () => {
    expect(parseTracestate(`${KEY_CHARACTERS}=1`)).toBe(`${KEY_CHARACTERS}=1`);
    for (let code = 0; code < 0x180; code++) {
      const char = String.fromCharCode(code);
      const begins = `${LOWER}${DIGITS}`.includes(char);
      // White space before a key belongs to the list, a comma ends a member: neither makes the rest invalid.
      if (!" \t,".includes(char)) expect(parseTracestate(`${char}x=1`), char).toBe(begins ? `${char}x=1` : "");
      expect(parseTracestate(`x${char}=1`), char).toBe(KEY_CHARACTERS.includes(char) ? `x${char}=1` : "");
    }
  });

  test("R29 a key has 1 to 256 characters", () => {
    const longest = "k".repeat(256);
    expect(parseTracestate(`${longest}=1`)).toBe(`${longest}=1`);
    expect(parseTracestate(`${longest}k=1`)).toBe("");
    expect(parseTracestate("=1")).toBe("");
  });

  test("R29 a value holds printable ASCII but , and =", () => {
    expect(parseTracestate(`foo=${VALUE_CHARACTERS}`)).toBe(`foo=${VALUE_CHARACTERS}`);
    for (let code = 0; code < 0x180; code++) {
      const char = String.fromCharCode(code);
      if (char === ",") continue;
      expect(parseTracestate(`foo=1${char}1`), char).toBe(VALUE_CHARACTERS.includes(char) ? `foo=1${char}1` : "");
    }
  });

  test("R29 a value has 1 to 256 characters, and a comma always ends it", () => {
    const longest = "v".repeat(256);
    expect(parseTracestate(`foo=${longest}`)).toBe(`foo=${longest}`);
    expect(parseTracestate(`foo=${longest}v`)).toBe("");
    expect(parseTracestate("foo=,bar=2")).toBe("");
    expect(parseTracestate("foo= ,bar=2")).toBe("");
    expect(parseTracestate("foo=1,2")).toBe("");
    expect(parseTracestate("foo=bar=baz")).toBe("");
  });

  test("one invalid member invalidates the whole tracestate", () => {
    expect(parseTracestate("foo=1,BAR=2")).toBe("");
    expect(parseTracestate("foo=1,bar")).toBe("");
  });

  test("of a repeated key the first member counts, which is the newest", () => {
    expect(parseTracestate("foo=1,bar=2,foo=3,foo=1")).toBe("foo=1,bar=2");
  });

  test("R29 512 characters are propagated completely", () => {
    const state = members(4, 128).join(",").slice(0, 512);
    expect(state).toHaveLength(512);
    expect(parseTracestate(state)).toBe(state);
  });

  test("R29 members over 128 characters are cut first, from the right and only as many as needed", () => {
    const [a, b, c, d] = members(4, 100) as [string, string, string, string];
    const long = `long=${"v".repeat(124)}`;
    const longer = `longer=${"v".repeat(140)}`;
    expect(parseTracestate([long, a, b, c, d].join(","))).toBe([a, b, c, d].join(","));
    expect(parseTracestate([a, long, b, longer, c].join(","))).toBe([a, long, b, c].join(","));
    expect(parseTracestate([long, longer, a, b].join(","))).toBe([long, longer, a, b].join(","));
  });

  test("R29 then whole members are cut from the right; one of 128 characters is not long", () => {
    const short = members(5, 128);
    expect(parseTracestate(short.join(","))).toBe(short.slice(0, 3).join(","));
    expect(parseTracestate([...members(9, 60), "z=1"].join(","))).toBe(members(8, 60).join(","));
  });

  test("a member that alone is over 512 characters is cut like any other", () => {
    expect(parseTracestate(`${"k".repeat(256)}=${"v".repeat(256)},foo=1`)).toBe("foo=1");
  });

  test("takes linear time for any input", () => {
    const length = 100_000;
    // A trimming or backtracking regular expression would take longer for these than a test may.
    for (const text of [`a=${" ".repeat(length)}b`, `a=1${" \t".repeat(length)}b`, "a=a".repeat(length)]) {
      expect(parseTracestate(text)).toBe("");
    }
    expect(parseTracestate(",".repeat(length))).toBe("");
    expect(parseTracestate("a=1,".repeat(length))).toBe("");
  });
});

describe("getTracestate", () => {
  test("finds a member by its whole key", () => {
    expect(getTracestate("foo=1,oo=2,o=3", "oo")).toBe("2");
    expect(getTracestate("foo=1,oo=2,o=3", "o")).toBe("3");
    expect(getTracestate("foo=1", "fo")).toBeUndefined();
    expect(getTracestate("foo=1", "bar")).toBeUndefined();
    expect(getTracestate("", "foo")).toBeUndefined();
  });
});

describe("setTracestate", () => {
  test("R29 an edited key moves to the left, the order of the others stays", () => {
    expect(setTracestate("a=1,b=2,c=3", "b", "4")).toBe("b=4,a=1,c=3");
    expect(setTracestate("a=1,b=2", "c", "3")).toBe("c=3,a=1,b=2");
    expect(setTracestate("", "a", "1")).toBe("a=1");
  });

  test("removes a member when it is set to nothing", () => {
    expect(setTracestate("a=1,b=2,c=3", "b", undefined)).toBe("a=1,c=3");
    expect(setTracestate("a=1", "a", undefined)).toBe("");
    expect(setTracestate("a=1", "b", undefined)).toBe("a=1");
  });

  test("R29 of 33 members the rightmost goes, unless one is only edited", () => {
    const full = members(32, 5);
    expect(setTracestate(full.join(","), "new", "1")).toBe(["new=1", ...full.slice(0, 31)].join(","));
    expect(setTracestate(full.join(","), "k31", "1")).toBe(["k31=1", ...full.slice(0, 31)].join(","));
  });

  test("R29 what exceeds 512 characters is cut, members over 128 characters first", () => {
    const long = `long=${"v".repeat(124)}`;
    const short = members(3, 120);
    expect(setTracestate([long, ...short].join(","), "new", "1".repeat(20))).toBe(
      [`new=${"1".repeat(20)}`, ...short].join(","),
    );
  });

  test.each([
    ["", "1"],
    ["A", "1"],
    ["_a", "1"],
    ["a=b", "1"],
    ["a,b", "1"],
    [" a", "1"],
    ["k".repeat(257), "1"],
    ["a", ""],
    ["a", "1 "],
    ["a", "1,b=2"],
    ["a", "1=2"],
    ["a", "é"],
    ["a", "1\r\nx-evil: 1"],
    ["a", "v".repeat(257)],
  ])("R29 the member %j=%j violates the grammar and changes nothing", (key, value) => {
    expect(setTracestate("a=0,b=2", key, value)).toBe("a=0,b=2");
  });
});

test("trimOws removes only spaces and tabs", () => {
  expect(trimOws(" \t a \t b\t ")).toBe("a \t b");
  expect(trimOws(" \t ")).toBe("");
  expect(trimOws("")).toBe("");
  expect(trimOws("\u00a0a\n")).toBe("\u00a0a\n");
});
