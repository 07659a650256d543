import { IconButton } from "../ui/button.tsx";
import { Menu, MenuChoice } from "../ui/menu.tsx";
import { setTheme, type ThemeChoice, useTheme } from "./preferences.ts";

const CHOICES: readonly (readonly [ThemeChoice, string])[] = [
  ["system", "As the system"],
  ["light", "Light"],
  ["dark", "Dark"],
];

export function ThemeButton() {
  const theme = useTheme();
  return (
    <Menu trigger={(own) => <IconButton icon="theme" label="Light or dark" {...own} />}>
      {CHOICES.map(([choice, text]) => (
        <MenuChoice key={choice} isChosen={choice === theme} onSelect={() => setTheme(choice)}>
          {text}
        </MenuChoice>
      ))}
    </Menu>
  );
}
