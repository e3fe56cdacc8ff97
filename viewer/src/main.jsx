import "@h5web/app/styles.css";
import "./pages.css";

import { createRoot } from "react-dom/client";

import { File } from "./File.jsx";
import { Folder } from "./Folder.jsx";

const asked = new URLSearchParams(window.location.search);
const file = asked.get("file");

createRoot(document.getElementById("root")).render(
  file === null ? <Folder path={asked.get("folder") ?? ""} offset={Number(asked.get("offset") ?? 0)} /> : <File file={file} asked={asked} />,
);
