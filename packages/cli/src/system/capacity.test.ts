import { describe, expect, test } from "vitest";
import { UserError } from "../errors.ts";
import { capacityVariables, chooseCapacity } from "./capacity.ts";

const MACHINE = { awake: 9, starting: 4 };

describe("the capacity", () => {
  test("is the command line's, else the environment's, else the machine's", () => {
    expect(chooseCapacity({}, {}, MACHINE)).toEqual(MACHINE);
    const env = { VALET_MAX_AWAKE: "6", VALET_MAX_STARTING: "" };
    expect(chooseCapacity({}, env, MACHINE)).toEqual({ awake: 6, starting: 4 });
    expect(chooseCapacity({ awake: 5, starting: 3 }, env, MACHINE)).toEqual({ awake: 5, starting: 3 });
  });

  test("never has more starting than awake sandboxes", () => {
    expect(chooseCapacity({ awake: 2 }, {}, MACHINE)).toEqual({ awake: 2, starting: 2 });
  });

  test.each(["0", "-1", "many", "1.5"])("cannot be %s", (text) => {
    expect(() => chooseCapacity({}, { VALET_MAX_AWAKE: text }, MACHINE)).toThrow(UserError);
  });

  test("is passed to the Worker", () => {
    expect(capacityVariables(MACHINE)).toEqual({ VALET_MAX_AWAKE: "9", VALET_MAX_STARTING: "4" });
  });
});
