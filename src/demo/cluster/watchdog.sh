# Outlives the process that made the private server, and cleans up after it.
# $1: the directory of the cluster. Standard input: a pipe that only that process holds open; its end is our beginning.
trap '' INT TERM HUP QUIT
while read -r _; do :; done
rounds=0
while [ -d "$1" ] && [ "$rounds" -lt 600 ]; do
    rounds=$((rounds + 1))
    # Asked anew in each round: a server may be starting while its parent dies.
    if [ -r "$1/data/postmaster.pid" ]; then
        read -r pid < "$1/data/postmaster.pid" && kill -QUIT "$pid" 2>/dev/null
    fi
    rm -rf "$1" 2>/dev/null
    [ -d "$1" ] && sleep 0.1
done
