# Asks 127.0.0.11 for the addresses of each name, over UDP and, for an answer that is cut off or with `NAME/tcp`, over TCP. Prints the name, the code, how
# many answers there are, and the first and last address in it.
use strict;
use Socket qw(:all);
$| = 1;
for (@ARGV) {
    my ($name, $tcp) = /^([^\/]*)(\/tcp)?$/;
    my $message = pack("nnnnnn", 4711, 0x0100, 1, 0, 0, 0) . join("", map { pack("C/a*", $_) } split /\./, $name) . "\0" . pack("nn", 1, 1);
    my $said = "";
    my $cut = "";
    my $to = pack_sockaddr_in(53, inet_aton("127.0.0.11"));
    if (!$tcp) {
        socket(my $socket, AF_INET, SOCK_DGRAM, 0) or die $!;
        connect($socket, $to) or die $!;
        send($socket, $message, 0);
        vec(my $bits = "", fileno($socket), 1) = 1;
        select($bits, undef, undef, 20) and recv($socket, $said, 65535, 0);
        if (length $said > 3 && unpack("n", substr($said, 2)) & 0x200) { ($tcp, $cut) = (1, " cut") }
    }
    if ($tcp) {
        socket(my $socket, AF_INET, SOCK_STREAM, 0) or die $!;
        connect($socket, $to) or die $!;
        syswrite($socket, pack("n/a*", $message));
        my $all = "";
        while (length $all < 2 || length $all < 2 + unpack("n", $all)) { sysread($socket, $all, 65535, length $all) or last }
        $said = substr($all, 2);
    }
    my ($id, $flags, $questions, $answers) = unpack("nnnn", $said);
    my $records = substr($said, length $message);
    my $first = length $records > 15 ? inet_ntoa(substr($records, 12, 4)) : "-";
    my $last = length $records > 15 ? inet_ntoa(substr($said, -4)) : "-";
    print "$name$cut ", $id == 4711 ? "" : "wrong ", $flags & 15, " $answers $first $last\n";
}
