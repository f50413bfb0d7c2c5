#!/bin/sh
# Packs a release: the program without its debug information, completions, manual pages, licences.
#
#   deploy/package.sh PROGRAM FOLDER
set -eu

program=$1
folder=$2
version=$("$program" --version | awk '{ print $2; exit }')
system=$(uname -s | tr '[:upper:]' '[:lower:]')
name="walgate-$version-$system-$(uname -m)"
root="$folder/$name"

rm -rf "$root"
mkdir -p "$root/completions" "$root/man"
cp "$program" "$root/walgate"
strip "$root/walgate"
for shell in bash zsh fish; do
    "$root/walgate" completions "$shell" > "$root/completions/walgate.$shell"
done
"$root/walgate" man --dir "$root/man"
for file in README.md CHANGELOG.md LICENSE-MIT LICENSE-APACHE; do
    cp "$file" "$root/"
done
tar -C "$folder" -czf "$folder/$name.tar.gz" "$name"
echo "package: $folder/$name.tar.gz"
