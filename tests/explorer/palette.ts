import type { Page } from "playwright-core";

/** Chooses what the command palette offers. Enter takes what is marked, and the mark follows the text a moment later. */
export async function chooseInPalette(page: Page, words: string, entry: string | RegExp): Promise<void> {
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").getByRole("combobox").fill(words);
  await page.getByRole("option", { name: entry, selected: true }).waitFor();
  await page.keyboard.press("Enter");
}
