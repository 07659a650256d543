/** Dialogs: they take the focus, give it back, and close by Escape, their button or a click beside them. */
import { Dialog as Radix } from "radix-ui";
import type { ReactNode } from "react";
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
  return (
    <Radix.Root open={isOpen} onOpenChange={(open) => !open && onClose()}>
      <Radix.Portal>
        <Radix.Overlay className="veil" />
        <Radix.Content
          className={`dialog${isWide ? " is-wide" : ""}`}
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
