import { SystemView } from "@valet/shared/protocol/system";
import { expect, test } from "vitest";
import { call, signIn } from "../../../test/api.ts";

test("the running system says what its provider and its broker answer, to those who have a token", async () => {
  const response = await call("GET", "/api/system", { token: await signIn() });
  expect(response.status).toBe(200);
  const view = SystemView.parse(await response.json());
  expect(view.model.model).toContain("/");
  expect((await call("GET", "/api/system")).status).toBe(401);
});
