/** Dialogs: they take the focus, give it back, and close by Escape, their button or a click beside them. */
import { Dialog as Radix } from "radix-ui";
import { type ReactNode, useState } from "react";
import { Button } from "./button.tsx";

interface DialogProps {
  readonly isOpen: boolean;
  readonly onClose: () => void;
  readonly title: ReactNode;
  /** One sentence under the title. */
  readonly description?: ReactNode;
  readonly isWide?: boolean;
  readonly children: ReactNode;
}

export function Dialog({ isOpen, onClose, title, description, isWide = false, children }: DialogProps) {
  // As it is opened: nothing in it has the focus yet.
  const [before] = useState(() => document.activeElement);
  return (
    <Radix.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="veil" />
        <Radix.Content
          className={`dialog${isWide ? " is-wide" : ""}`}
          onCloseAutoFocus={(event) => {
            // Radix knows no element that opened it, and would leave the focus on nothing.
            event.preventDefault();
            giveBack(before);
          }}
          {...(description === undefined && { "aria-describedby": undefined })}
        >
          <header>
            <Radix.Title asChild>
              <h2 className="grow text-title">{title}</h2>
            </Radix.Title>
            <Radix.Close asChild>
              <Button look="quiet" className="sq" icon="close" aria-label="Close" />
            </Radix.Close>
          </header>
          {description !== undefined && <Radix.Description className="m2 mb-3">{description}</Radix.Description>}
          {children}
        </Radix.Content>
      </Radix.Portal>
    </Radix.Root>
  );
}

/** Gives the focus to what had it; if that is gone, such as an item of a menu, to the page. */
function giveBack(before: Element | null): void {
  const isThere = before instanceof HTMLElement && before.isConnected && before !== document.body;
  const target = isThere ? before : document.getElementById("main");
  target?.focus({ preventScroll: true });
}
