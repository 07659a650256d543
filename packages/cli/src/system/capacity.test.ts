import { describe, expect, test } from "vitest";
import { UserError } from "../errors.ts";
import { capacityVariables, chooseCapacity } from "./capacity.ts";

const MACHINE = { awake: 9, starting: 4 };

describe("how many sandboxes there may be", () => {
  test("is what was asked for, else what the environment says, else what the machine has room for", () => {
    expect(chooseCapacity({}, {}, MACHINE)).toEqual(MACHINE);
    const env = { VALET_MAX_AWAKE: "6", VALET_MAX_STARTING: "" };
    expect(chooseCapacity({}, env, MACHINE)).toEqual({ awake: 6, starting: 4 });
    expect(chooseCapacity({ awake: 5, starting: 3 }, env, MACHINE)).toEqual({ awake: 5, starting: 3 });
  });

  test("is never more that start than may be awake", () => {
    expect(chooseCapacity({ awake: 2 }, {}, MACHINE)).toEqual({ awake: 2, starting: 2 });
  });

  test.each(["0", "-1", "many", "1.5"])("is not %s", (text) => {
    expect(() => chooseCapacity({}, { VALET_MAX_AWAKE: text }, MACHINE)).toThrow(UserError);
  });

  test("is what the Worker is told", () => {
    expect(capacityVariables(MACHINE)).toEqual({ VALET_MAX_AWAKE: "9", VALET_MAX_STARTING: "4" });
  });
});
