/** What a person does to a session on its page, from the first message to its end: each journey goes on where the one before it ended. */
import type { Page } from "playwright-core";
import { beforeAll, expect, test } from "vitest";
import type { Explorer } from "./page.ts";

/** @param explorerOf has the scripted model of `session.test.ts` */
export function lifecycleJourneys(explorerOf: () => Explorer): void {
  let explorer: Explorer;
  let page: Page;
  let id: string;
  beforeAll(async () => {
    explorer = explorerOf();
    ({ id } = await explorer.up.api.createSession({}));
    await explorer.up.api.sendMessage(id, { content: "[ask] me" });
    ({ page } = await explorer.openSignedIn(`/sessions/${id}`));
    return () => page.context().close();
  });

  const talk = () => page.getByRole("region", { name: "Messages and turns" });
  const composer = () => page.getByRole("form", { name: "Message" });
  const send = async (text: string) => {
    await composer().getByRole("textbox", { name: "Message" }).fill(text);
    await page.keyboard.press("Control+Enter");
  };
  const dialog = () => page.getByRole("dialog");
  /** Chooses an item of the session's menu that asks first. */
  const choose = async (item: string) => {
    await page.getByRole("button", { name: "More to do with the session" }).click();
    await page.getByRole("menuitem", { name: item }).click();
    await dialog().waitFor();
  };
  const messageOf = async (content: string) =>
    (await explorer.up.api.messages(id)).find((message) => message.content === content);

  test("whoever answers second is told so, and the page has the first answer", async () => {
    const ask = page.getByRole("region", { name: /^The agent asks/ });
    // The sandbox starts first.
    await ask.waitFor({ timeout: 60_000 });
    const [question] = (await explorer.up.api.session(id)).questions;
    if (question === undefined) throw new Error("the agent does not ask");
    let release = () => {};
    const held = new Promise<void>((resolve) => (release = resolve));
    await page.route("**/questions/**", async (route) => {
      await held;
      await route.continue();
    });
    await ask.getByRole("button", { name: /^No/ }).click();
    await explorer.up.api.replyQuestion(id, question.id, [["Yes, the tests"]]);
    release();
    await page
      .getByRole("region", { name: "Messages", exact: true })
      .getByText(/^Your answer did not arrive/)
      .waitFor();
    await talk()
      .getByText(/answered: Yes, the tests/)
      .waitFor();
    await page.unroute("**/questions/**");
    await talk().getByText("So the tests it is.").waitFor();
  }, 90_000);

  test("a message waits behind the turn that runs, and one that steers takes the turn's place", async () => {
    await send("[slow] first");
    await expect.poll(async () => (await messageOf("[slow] first"))?.status).toBe("accepted");
    await send("behind it");
    await talk().getByText("It waits for the turn before it in its channel.").waitFor();
    await composer().getByRole("button", { name: "Steer now" }).click();
    await send("rather this");
    await expect.poll(async () => (await messageOf("rather this"))?.outcome).toBe("ok");
    await expect.poll(async () => (await messageOf("[slow] first"))?.outcome).toBe("superseded");
    await composer().getByRole("button", { name: "After this turn" }).click();
    await expect.poll(async () => (await messageOf("behind it"))?.outcome).toBe("ok");
  });

  test("the queue is cleared only when that is confirmed", async () => {
    const { api } = explorer.up;
    const queued = async () => (await api.session(id)).queueLength;
    await send("[slow] again");
    await expect.poll(async () => (await messageOf("[slow] again"))?.status).toBe("accepted");
    await send("not wanted");
    await expect.poll(queued).toBe(1);
    await choose("Clear the queue…");
    await dialog().getByRole("button", { name: "Keep it" }).click();
    expect(await queued()).toBe(1);
    await choose("Clear the queue…");
    await dialog().getByRole("button", { name: "Withdraw" }).click();
    await expect.poll(queued).toBe(0);
    await api.change(id, "abort");
    await expect.poll(async () => (await messageOf("[slow] again"))?.status).toBe("done");
  });

  test("a session that is hibernated and woken tells both between its messages", async () => {
    await page.getByRole("button", { name: "Hibernate", exact: true }).click();
    await page.getByRole("button", { name: "Wake", exact: true }).waitFor({ timeout: 60_000 });
    await talk()
      .getByText(/^hibernated/)
      .waitFor();
    await page.getByRole("button", { name: "Wake", exact: true }).click();
    await talk()
      .getByText(/^hibernated .*, then restored in/)
      .waitFor({ timeout: 60_000 });
    await expect.poll(async () => (await explorer.up.api.session(id)).status).toBe("running");
  }, 150_000);

  test("while the server is away the page says so and keeps what is written, and then it has what came meanwhile", async () => {
    const field = composer().getByRole("textbox", { name: "Message" });
    await field.fill("half a thought");
    await page.context().setOffline(true);
    const banner = page.getByRole("complementary", { name: "Connection" });
    await banner.getByText("Connection lost").waitFor();
    await explorer.up.api.sendMessage(id, { content: "sent meanwhile" });
    await page.context().setOffline(false);
    await banner.waitFor({ state: "detached" });
    await talk().getByText("sent meanwhile").first().waitFor();
    expect(await field.inputValue()).toBe("half a thought");
    await field.fill("");
  });

  test("a session that is terminated can be read, and takes no more messages", async () => {
    await choose("Terminate…");
    await dialog().getByRole("button", { name: "Terminate" }).click();
    await page.getByText("The session has ended: it can be read, and takes no more messages.").waitFor();
    await talk().getByText("rather this").first().waitFor();
    expect(await composer().count()).toBe(0);
  });

  test("a session is deleted only when that is confirmed, and its owner learns from its address that it was", async () => {
    await choose("Delete…");
    await dialog().getByRole("button", { name: "Delete" }).click();
    await page.waitForURL((url) => url.pathname === "/");
    // Until then it can be read.
    const isThere = () =>
      explorer.up.api.session(id).then(
        () => true,
        () => false,
      );
    await expect.poll(isThere).toBe(false);
    for (const [gone, title] of [
      [id, "This session was deleted"],
      [`ses_${"0".repeat(26)}`, "There is no such session, or it is not yours"],
    ] as const) {
      await page.goto(`${explorer.up.url}/sessions/${gone}`);
      await page.getByRole("heading", { name: title }).waitFor();
    }
  });
}
