export const metadata = { title: "loraloom built by Next", icons: "data:," };
export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  );
}
