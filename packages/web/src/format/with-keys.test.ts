import fc from "fast-check";
import { expect, test } from "vitest";
import { withKeys } from "./with-keys.ts";

const same = (text: string) => text;

test("keys are distinct, in the order of the items, and stay when more items come", () => {
  const texts = fc.array(fc.constantFrom("", "a", "1 a", "2 a", "b"), { maxLength: 20 });
  fc.assert(
    fc.property(texts, texts, (items, more) => {
      const keyed = withKeys(items, same);
      expect(keyed.map(({ item }) => item)).toEqual(items);
      expect(new Set(keyed.map(({ key }) => key)).size).toBe(items.length);
      expect(withKeys([...items, ...more], same).slice(0, items.length)).toEqual(keyed);
    }),
  );
});
