import { useEffect, useState } from "react";

const PAGE = 100;

/** What is in a folder: names at once, and then of each file its title, its start, and what it shows first. */
export function Folder({ path, offset }) {
  const [page, setPage] = useState(null);
  const [trouble, setTrouble] = useState(null);
  useEffect(() => {
    document.title = `${path || "files"} - nexus_xr`;
    const place = `api/files/${path.split("/").map(encodeURIComponent).join("/")}`.replace(/\/$/, "");
    const asked = `${place}?offset=${offset}&limit=${PAGE}`;
    fetchJson(asked)
      .then((names) => {
        setPage(names);
        return fetchJson(`${asked}&details=true`);
      })
      .then(setPage)
      .catch((error) => setTrouble(error.message));
  }, [path, offset]);

  return (
    <main>
      <h1>
        <Ways path={path} />
      </h1>
      {trouble && <p className="trouble">{trouble}</p>}
      {page && <Items page={page} />}
      {page && <Pages path={path} page={page} />}
    </main>
  );
}

async function fetchJson(url) {
  const response = await fetch(url);
  const content = await response.json();
  if (!response.ok) {
    throw new Error(content.message);
  }
  return content;
}

const folderAddress = (path, offset = 0) => `?${new URLSearchParams(offset ? { folder: path, offset } : { folder: path })}`;
const fileAddress = (path) => `view?${new URLSearchParams({ file: path })}`;

function Ways({ path }) {
  const names = path ? path.split("/") : [];
  return (
    <nav>
      <a href={folderAddress("")}>files</a>
      {names.map((name, depth) => (
        <span key={depth}>
          {" / "}
          <a href={folderAddress(names.slice(0, depth + 1).join("/"))}>{name}</a>
        </span>
      ))}
    </nav>
  );
}

function Items({ page }) {
  return (
    <table>
      <thead>
        <tr>
          {["Name", "Title", "Start", "Shows", "Shape", "Size", "Changed"].map((head) => (
            <th key={head}>{head}</th>
          ))}
        </tr>
      </thead>
      <tbody>
        {page.items.map((item) => (
          <Item key={item.name} item={item} path={page.folder ? `${page.folder}/${item.name}` : item.name} />
        ))}
      </tbody>
    </table>
  );
}

function Item({ item, path }) {
  const isFolder = item.kind === "folder";
  return (
    <tr>
      <td>
        <a href={isFolder ? folderAddress(path) : fileAddress(path)}>{isFolder ? `${item.name}/` : item.name}</a>
      </td>
      {item.trouble ? (
        <td colSpan={4} className="trouble">
          {item.trouble}
        </td>
      ) : (
        <>
          <td>{item.title}</td>
          <td>{item.start}</td>
          <td>{item.default}</td>
          <td>{item.shape?.join(" × ")}</td>
        </>
      )}
      <td className="number">{sizeInWords(item.size)}</td>
      <td>{item.modified?.replace("T", " ").replace("+00:00", " UTC")}</td>
    </tr>
  );
}

function sizeInWords(size) {
  if (size === undefined || size === null) {
    return "";
  }
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(size, 1)) / 10));
  return `${(size / 1024 ** power).toFixed(power ? 1 : 0)} ${units[power]}`;
}

function Pages({ path, page }) {
  const { offset, total } = page;
  return (
    total > PAGE && (
      <p>
        {offset > 0 && <a href={folderAddress(path, Math.max(0, offset - PAGE))}>before</a>} {offset + 1} to{" "}
        {Math.min(total, offset + PAGE)} of {total}{" "}
        {offset + PAGE < total && <a href={folderAddress(path, offset + PAGE)}>after</a>}
      </p>
    )
  );
}
