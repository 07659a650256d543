import { useEffect } from "react";

/** Names the document after the page: `Inbox · Valet`. @param title the most particular part first */
export function useTitle(title: string): void {
  useEffect(() => {
    document.title = title === "" ? "Valet" : `${title} · Valet`;
  }, [title]);
}
