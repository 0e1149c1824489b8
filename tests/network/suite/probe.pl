# Asks every one of the words TOKEN=PROTOCOL,ADDRESS,PORT, and prints the token and what was said to it. Ends when all were answered, or nobody
# answers any more.
use strict;
use Socket qw(:all);
use Errno;
use IO::Select;
use Time::HiRes qw(time);
$| = 1;
$SIG{PIPE} = "IGNORE";
sub echo {
    my ($six, $id, $token) = @_;
    my $request = sub { pack("CCnnna*", $six ? 128 : 8, 0, $_[0], $id, 1, $token) };
    return $request->(0) if $six;    # The kernel puts the sum into those.
    my $sum = unpack("%32n*", $request->(0) . "\0" x (length($token) % 2));
    $sum = ($sum & 0xffff) + ($sum >> 16) for 1 .. 2;
    return $request->(~$sum & 0xffff);
}
my (%all, $number);
my ($reads, $writes) = (IO::Select->new, IO::Select->new);
for (@ARGV) {
    my ($token, $protocol, $address, $port) = /^(.*)=(.*),(.*),(.*)$/ or die;
    my $six = $address =~ /:/;
    my $family = $six ? AF_INET6 : AF_INET;
    my $binary = inet_pton($family, $address) or die $address;
    $port = 0 if $protocol eq "i";
    my $to = $six ? pack_sockaddr_in6($port, $binary) : pack_sockaddr_in($port, $binary);
    my ($kind, $which) = $protocol eq "t" ? (SOCK_STREAM, 0) : $protocol eq "u" ? (SOCK_DGRAM, 0) : (SOCK_RAW, $six ? 58 : 1);
    socket(my $socket, $family, $kind, $which) or die $!;
    $socket->blocking(0);
    my $message = $protocol eq "i" ? echo($six, ++$number, $token) : $token;
    $all{$socket} = { token => $token, protocol => $protocol, to => $to, message => $message, socket => $socket };
    if ($protocol eq "t") {
        # What has no way there at all has no answer either.
        if (connect($socket, $to) || $!{EINPROGRESS}) { $writes->add($socket) }
        else { delete $all{$socket} }
    }
    else { $reads->add($socket) }
}
my ($end, $again) = (time + 3, 0);
while (%all && time < $end) {
    if (time > $again) {
        for (values %all) { send($_->{socket}, $_->{message}, 0, $_->{to}) if $_->{protocol} ne "t" }
        $again = time + 0.4;
    }
    my ($can_read, $can_write) = IO::Select->select($reads, $writes, undef, 0.1);
    for my $socket (@{ $can_write || [] }) {
        $writes->remove($socket);
        if (unpack("i", getsockopt($socket, SOL_SOCKET, SO_ERROR))) { delete $all{$socket} }
        else { syswrite($socket, $all{$socket}{token}); $reads->add($socket) }
    }
    for my $socket (@{ $can_read || [] }) {
        my $one = $all{$socket} or next;
        defined recv($socket, my $said, 4096, 0) or do { $reads->remove($socket); delete $all{$socket}; next };
        if ($one->{protocol} eq "i") {
            # An echo of ours, not the question itself, which a raw socket hears on its own machine.
            my $body = unpack("C", $said) >> 4 == 4 ? substr($said, 20) : $said;
            next unless unpack("C", $body) =~ /^(0|129)$/ && substr($body, 8) eq $one->{token};
            $said = "echo $one->{token}";
        }
        next unless $said =~ / \Q$one->{token}\E$/;
        print "$one->{token} $said\n";
        $reads->remove($socket);
        delete $all{$socket};
    }
}
