// The page's entry.

import "./style.css";
import { render } from "preact";
import { App } from "./app.js";
import { keepLinkCurrent } from "./state/share.js";
import { restoreFromAddress, startPage } from "./state/workflow.js";

render(<App />, document.getElementById("app") as HTMLElement);
keepLinkCurrent();
addEventListener("hashchange", () => void restoreFromAddress());
void startPage();
