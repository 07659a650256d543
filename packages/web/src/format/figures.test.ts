import { expect, test } from "vitest";
import { formatCount, formatExactTime, formatMoney, formatTime, formatTokens } from "./figures.ts";

const plain = (text: string) => text.replaceAll("\u00a0", " ");

test("money has cents, and three decimals below a cent; unknown is a dash, and a lower bound says so", () => {
  const cases: [number | null, string][] = [
    [0, "$0.00"],
    [0.0001, "<$0.001"],
    [0.004, "$0.004"],
    [0.71, "$0.71"],
    [12.4, "$12.40"],
    [null, "–"],
  ];
  for (const [usd, text] of cases) expect(formatMoney(usd)).toBe(text);
  expect(plain(formatMoney(0.71, true))).toBe("≥ $0.71");
});

test("tokens and counts are grouped, and large numbers of tokens are rounded", () => {
  expect([377, 9_150, 9_999, 11_210, 999_960, 1_400_000].map((count) => plain(formatTokens(count)))).toEqual([
    "377",
    "9,150",
    "9,999",
    "11.2 k",
    "1.0 M",
    "1.4 M",
  ]);
  expect([formatTokens(null), formatCount(undefined), formatCount(1_234)]).toEqual(["–", "–", "1,234"]);
});

test("a time says as much of its date as is needed", () => {
  const now = new Date(2026, 10, 26, 13, 0, 0);
  expect(plain(formatTime(new Date(2026, 10, 26, 12, 49, 50), now))).toBe("12:49:50");
  expect(plain(formatTime(new Date(2026, 10, 25, 9, 12, 1), now))).toBe("Wed 25, 09:12");
  expect(plain(formatTime(new Date(2025, 10, 25, 9, 12, 1), now))).toBe("25 Nov 2025");
  expect(formatExactTime(new Date(2026, 10, 25, 9, 2, 1, 7))).toBe("2026-11-25 09:02:01.007");
  expect(formatTime(new Date("no date"), now)).toBe("–");
});
