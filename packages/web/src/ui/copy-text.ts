/** Copies a text. @returns whether the browser did: it refuses without permission, and on pages that came over plain http */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
