# shellcheck shell=sh
# Args: FILE.... Prints of each a line with its name, its sum and its length,
# then what is in it. One that is not there has the sum "none".
for file; do
	if [ -e "$file" ]; then
		sum=$(cksum <"$file") && echo "$file $sum" && cat "$file" || exit
	else
		echo "$file none 0"
	fi
done
echo end
